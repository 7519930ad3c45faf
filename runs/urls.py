"""Addresses of the pages about runs (namespace `runs`) and reviews (namespace `reviews`)."""

from django.urls import URLPattern, URLResolver, include, path

from runs.views import (
    dashboard,
    dead_letters,
    debug,
    describe,
    estimates,
    files,
    history,
    history_acts,
    library,
    notifications,
    outbox,
    palette,
    review_desk,
    reviews,
    runs,
    saved,
    start,
    triggers,
    try_step,
    what_if,
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
    path("draft/<uuid:pk>/steps/<str:key>/data/", try_step.data, name="step_data"),
    path("draft/<uuid:pk>/steps/<str:key>/preview/", try_step.preview, name="step_preview"),
    path("draft/<uuid:pk>/steps/<str:key>/test/", try_step.test, name="step_test"),
    path("draft/<uuid:pk>/steps/<str:key>/pin/", try_step.pin, name="step_pin"),
    path("describe/", describe.page, name="describe"),
    path("describe/<uuid:pk>/", describe.described, name="described"),
    path("describe/<uuid:pk>/take/", describe.take, name="described_take"),
    path("model-calls/", library.calls, name="model_calls"),
    path("dead-letters/", dead_letters.index, name="dead_letters"),
    path("dead-letters/<slug:case>/", dead_letters.case, name="dead_letter"),
    path("dead-letters/<slug:case>/retry/", dead_letters.retry, name="dead_letters_retry"),
    path("dead-letters/<slug:case>/discard/", dead_letters.discard, name="dead_letters_discard"),
    path("compare/", what_if.compare, name="compare"),
    path("<uuid:pk>/", runs.detail, name="detail"),
    path("<uuid:pk>/steps/<str:key>/", runs.step, name="step"),
    path("<uuid:pk>/steps/<str:key>/items/", runs.items, name="items"),
    path("<uuid:pk>/items/<str:scope>/", runs.item, name="item"),
    path("<uuid:pk>/retry-items/", runs.retry_items, name="retry_items"),
    path("<uuid:pk>/pause/", runs.pause, name="pause"),
    path("<uuid:pk>/resume/", runs.resume, name="resume"),
    path("<uuid:pk>/cancel/", runs.cancel, name="cancel"),
    path("<uuid:pk>/retry/", runs.retry, name="retry"),
    path("<uuid:pk>/continue/", runs.continue_on, name="continue"),
    path("<uuid:pk>/without/", runs.without, name="without"),
    path("<uuid:pk>/again/", what_if.again, name="again"),
    path("<uuid:pk>/again/<str:key>/", what_if.what_if, name="what_if"),
    path("<uuid:pk>/adopt/", what_if.adopt, name="adopt"),
    path("<uuid:pk>/items-act/", debug.items_act, name="items_act"),
    path("<uuid:pk>/whole.json", files.whole, name="whole"),
    path("<uuid:pk>/steps/<str:key>/items.csv", files.items_file, name="items_csv"),
    path("<uuid:pk>/step/", debug.step_once, name="step_once"),
    path("<uuid:pk>/breakpoints/", debug.breakpoint_at, name="breakpoints"),
    path("<uuid:pk>/edit/", debug.edit, name="edit"),
    path("<uuid:pk>/save/", saved.save_as_workflow, name="save_as_workflow"),
    path("<uuid:pk>/sample/", saved.save_sample_of, name="save_sample"),
    path("<uuid:pk>/output/", runs.output, name="output"),
]

review_pages: list[URLPattern | URLResolver] = [
    path("", reviews.index, name="index"),
    path("news/", review_desk.news, name="news"),
    path("away/", review_desk.away, name="away"),
    path("run/<uuid:pk>/", review_desk.table, name="table"),
    path("<uuid:pk>/", reviews.detail, name="detail"),
    path("<uuid:pk>/hand-over/", review_desk.hand_over, name="hand_over"),
    path("<uuid:pk>/changes/", reviews.changes, name="changes"),
    path("<uuid:pk>/decide/", reviews.decide, name="decide"),
]

trigger_pages: list[URLPattern | URLResolver] = [
    path("", triggers.index, name="index"),
    path("new/", triggers.create, name="new"),
    path("<uuid:pk>/<str:key>/", triggers.detail, name="detail"),
    path("<uuid:pk>/<str:key>/try/", triggers.attempt, name="try"),
    path("<uuid:pk>/<str:key>/switch/", triggers.switch, name="switch"),
    path("<uuid:pk>/<str:key>/remove/", triggers.remove, name="remove"),
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
    path("triggers/", include((trigger_pages, "triggers"))),
    path("outbox/", include((outbox_pages, "outbox"))),
    path("notifications/", include((notification_pages, "notifications"))),
]
