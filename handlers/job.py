"""/job: posting, finding and doing jobs."""

from domain import applications, completion, finding, job_posting, jobs, searches, watching
from handlers.expose import Namespace

job = Namespace("/job")

# Fixed addresses stand before `{job_id}`, which would take them for an id.
job.expose(job_posting.create, http="POST /api/job")
job.expose(finding.list_, http="GET /api/job")
job.expose(jobs.mine, http="GET /api/job/mine")
job.expose(searches.save, http="POST /api/job/searches")
job.expose(searches.searches, http="GET /api/job/searches")
job.expose(searches.unsave, http="DELETE /api/job/searches/{search_id}")
job.expose(watching.watch)
job.expose(watching.unwatch)
job.expose(applications.read_job, http="GET /api/job/{job_id}")
job.expose(job_posting.update, http="PATCH /api/job/{job_id}")
job.expose(jobs.start, http="POST /api/job/{job_id}/start")
job.expose(completion.deliver, http="POST /api/job/{job_id}/deliver")
job.expose(completion.complete, http="POST /api/job/{job_id}/complete")
job.expose(completion.cancel, http="POST /api/job/{job_id}/cancel")
