// Copy: [data-copy="#id"] copies that element's text or value, [data-copy-text] its own words, [data-copy-link] the address of this view.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-text], [data-copy-link]");
  if (!button) return;
  const source = button.dataset.copy ? document.querySelector(button.dataset.copy) : null;
  const text = "copyLink" in button.dataset ? location.href : button.dataset.copyText ?? source?.value ?? source?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text);
    stepwell.toast("Copied");
  } catch {
    // No clipboard over plain HTTP: select it, so that one key press copies.
    if (source?.select) source.select();
    else if (source) getSelection().selectAllChildren(source);
    stepwell.toast("Selected. Press Ctrl C or ⌘C to copy.");
  }
});
