// [data-follow] keeps the end of a growing text in view until the reader scrolls up; [data-follow-switch] and
// [data-follow-jump] inside the same [data-follow-group] turn it on again.
stepwell.enliven("[data-follow]", (box) => {
  const NEAR = 24;
  const group = box.closest("[data-follow-group]") ?? box.parentElement;
  let following = true;
  const show = () => {
    for (const jump of group.querySelectorAll("[data-follow-jump]")) jump.hidden = following;
    for (const box of group.querySelectorAll("[data-follow-switch]")) box.checked = following;
  };
  const toEnd = () => (box.scrollTop = box.scrollHeight);
  const follow = (yes) => {
    following = yes;
    if (yes) toEnd();
    show();
  };
  box.addEventListener(
    "scroll",
    () => {
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
      if (atEnd !== following) {
        following = atEnd;
        show();
      }
    },
    { passive: true },
  );
  group.addEventListener("click", (event) => event.target.closest("[data-follow-jump]") && follow(true));
  group.addEventListener("change", (event) => event.target.matches("[data-follow-switch]") && follow(event.target.checked));
  new MutationObserver(() => following && toEnd()).observe(box, { childList: true, subtree: true, characterData: true });
  follow(true);
});
