"""Addresses of the pages about runs (namespace `runs`) and reviews (namespace `reviews`)."""

from django.urls import URLPattern, URLResolver, include, path

from runs.views import (
    dashboard,
    debug,
    estimates,
    files,
    history,
    history_acts,
    library,
    notifications,
    outbox,
    palette,
    reviews,
    runs,
    saved,
    start,
)

run_pages: list[URLPattern | URLResolver] = [
    path("", history.index, name="index"),
    path("export/", history.export, name="export"),
    path("news/", history_acts.news, name="news"),
    path("bulk/", history_acts.bulk, name="bulk"),
    path("views/", history_acts.views, name="views"),
    path("retention/", history_acts.retention, name="retention"),
    path("find/", palette.find, name="find"),
    path("dashboard/", dashboard.dashboard, name="dashboard"),
    path("estimate/<uuid:pk>/", estimates.estimate, name="estimate"),
    path("start/<uuid:pk>/", start.start, name="start"),
    path("prompts/<uuid:pk>/", library.try_prompt_page, name="try_prompt"),
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
    path("<uuid:pk>/whole.json", files.whole, name="whole"),
    path("<uuid:pk>/steps/<str:key>/items.csv", files.items_file, name="items_csv"),
    path("<uuid:pk>/step/", debug.step_once, name="step_once"),
    path("<uuid:pk>/breakpoints/", debug.breakpoint_at, name="breakpoints"),
    path("<uuid:pk>/edit/", debug.edit, name="edit"),
    path("<uuid:pk>/save/", saved.save_as_workflow, name="save_as_workflow"),
    path("<uuid:pk>/output/", runs.output, name="output"),
]

review_pages: list[URLPattern | URLResolver] = [
    path("", reviews.index, name="index"),
    path("<uuid:pk>/", reviews.detail, name="detail"),
    path("<uuid:pk>/decide/", reviews.decide, name="decide"),
]

outbox_pages: list[URLPattern | URLResolver] = [path("", outbox.index, name="index")]

notification_pages: list[URLPattern | URLResolver] = [
    path("", notifications.index, name="index"),
    path("latest/", notifications.latest, name="latest"),
    path("read/", notifications.read, name="read"),
    path("preferences/", notifications.preferences, name="preferences"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("runs/", include((run_pages, "runs"))),
    path("reviews/", include((review_pages, "reviews"))),
    path("outbox/", include((outbox_pages, "outbox"))),
    path("notifications/", include((notification_pages, "notifications"))),
]
