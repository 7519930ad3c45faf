"""Addresses of the pages about runs (namespace `runs`) and reviews (namespace `reviews`)."""

from django.urls import URLPattern, URLResolver, include, path

from runs.views import dashboard, library, outbox, palette, reviews, runs, saved, start, try_step

run_pages: list[URLPattern | URLResolver] = [
    path("", runs.index, name="index"),
    path("find/", palette.find, name="find"),
    path("dashboard/", dashboard.dashboard, name="dashboard"),
    path("start/<uuid:pk>/", start.start, name="start"),
    path("prompts/<uuid:pk>/", library.try_prompt_page, name="try_prompt"),
    path("draft/<uuid:pk>/steps/<str:key>/data/", try_step.data, name="step_data"),
    path("draft/<uuid:pk>/steps/<str:key>/preview/", try_step.preview, name="step_preview"),
    path("draft/<uuid:pk>/steps/<str:key>/test/", try_step.test, name="step_test"),
    path("draft/<uuid:pk>/steps/<str:key>/pin/", try_step.pin, name="step_pin"),
    path("model-calls/", library.calls, name="model_calls"),
    path("<uuid:pk>/", runs.detail, name="detail"),
    path("<uuid:pk>/steps/<str:key>/", runs.step, name="step"),
    path("<uuid:pk>/steps/<str:key>/items/", runs.items, name="items"),
    path("<uuid:pk>/items/<str:scope>/", runs.item, name="item"),
    path("<uuid:pk>/retry-items/", runs.retry_items, name="retry_items"),
    path("<uuid:pk>/pause/", runs.pause, name="pause"),
    path("<uuid:pk>/resume/", runs.resume, name="resume"),
    path("<uuid:pk>/cancel/", runs.cancel, name="cancel"),
    path("<uuid:pk>/retry/", runs.retry, name="retry"),
    path("<uuid:pk>/save/", saved.save_as_workflow, name="save_as_workflow"),
    path("<uuid:pk>/output/", runs.output, name="output"),
]

review_pages: list[URLPattern | URLResolver] = [
    path("", reviews.index, name="index"),
    path("<uuid:pk>/", reviews.detail, name="detail"),
    path("<uuid:pk>/decide/", reviews.decide, name="decide"),
]

outbox_pages: list[URLPattern | URLResolver] = [path("", outbox.index, name="index")]

urlpatterns: list[URLPattern | URLResolver] = [
    path("runs/", include((run_pages, "runs"))),
    path("reviews/", include((review_pages, "reviews"))),
    path("outbox/", include((outbox_pages, "outbox"))),
]
