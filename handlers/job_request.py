"""/job-request: apply for jobs and answer applications."""

from domain.jobs import applications
from handlers.expose import Namespace

job_request = Namespace("/job-request")

# Fixed paths come before `{application_id}`, which would match them as well.
job_request.expose(applications.apply, http="POST /api/job-request")
job_request.expose(applications.list_, http="GET /api/job-request")
job_request.expose(applications.mine, http="GET /api/job-request/mine")
job_request.expose(applications.received, http="GET /api/job-request/received")
job_request.expose(applications.get, http="GET /api/job-request/{application_id}")
job_request.expose(applications.withdraw, http="POST /api/job-request/{application_id}/withdraw")
job_request.expose(applications.accept, http="POST /api/job-request/{application_id}/accept")
job_request.expose(applications.reject, http="POST /api/job-request/{application_id}/reject")

job_request.pushes = (applications.CREATED, applications.UPDATED)
