"""/job: posting, finding and doing jobs."""

from domain import applications, completion, jobs
from handlers.expose import Namespace

job = Namespace("/job")

# Fixed addresses stand before `{job_id}`, which would take them for an id.
job.expose(jobs.create, http="POST /api/job")
job.expose(jobs.list_, http="GET /api/job")
job.expose(jobs.mine, http="GET /api/job/mine")
job.expose(applications.read_job, http="GET /api/job/{job_id}")
job.expose(jobs.update, http="PATCH /api/job/{job_id}")
job.expose(jobs.start, http="POST /api/job/{job_id}/start")
job.expose(completion.deliver, http="POST /api/job/{job_id}/deliver")
job.expose(completion.complete, http="POST /api/job/{job_id}/complete")
job.expose(completion.cancel, http="POST /api/job/{job_id}/cancel")
