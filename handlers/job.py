"""/job: post, search, watch and do jobs."""

from domain.fulfillment import work
from domain.jobs import (
    access,
    facets,
    posting,
    public,
    saved_searches,
    search,
    suggestions,
    watch,
)
from domain.jobs import job as jobs
from domain.presence import presence
from handlers.expose import Namespace

PUBLIC_SECONDS = 30

job = Namespace("/job")

# Fixed paths come before `{job_id}`, which would match them as well.
job.expose(posting.create, http="POST /api/job")
job.expose(search.list_, http="GET /api/job")
job.expose(search.mine, http="GET /api/job/mine")
job.expose(facets.facets, http="GET /api/job/facets")
job.expose(suggestions.suggest, http="GET /api/job/suggestions")
job.expose(public.public, http="GET /api/job/public", socket=False, kept_seconds=PUBLIC_SECONDS)
job.expose(
    public.public_one,
    http="GET /api/job/public/{job_id}",
    socket=False,
    kept_seconds=PUBLIC_SECONDS,
)
job.expose(saved_searches.save, http="POST /api/job/searches")
job.expose(saved_searches.searches, http="GET /api/job/searches")
job.expose(saved_searches.update, http="PATCH /api/job/searches/{search_id}")
job.expose(saved_searches.seen, http="POST /api/job/searches/{search_id}/seen")
job.expose(saved_searches.unsave, http="DELETE /api/job/searches/{search_id}")
job.expose(watch.watch)
job.expose(watch.unwatch)
job.expose(access.read_job, http="GET /api/job/{job_id}")
job.expose(posting.update, http="PATCH /api/job/{job_id}")
job.expose(work.start, http="POST /api/job/{job_id}/start")
job.expose(work.deliver, http="POST /api/job/{job_id}/deliver")
job.expose(work.complete, http="POST /api/job/{job_id}/complete")
job.expose(work.cancel, http="POST /api/job/{job_id}/cancel")

job.pushes = (jobs.UPDATED, jobs.CLOSED, presence.VIEWERS, saved_searches.MATCHED)
