"""The page of jobs with their logs; its script reads them from the API."""

from service.dashboard.page import Page

PAGE = Page(template="jobs.html", path="/dashboard/jobs", title="Jobs", key="j", group="Manage")
