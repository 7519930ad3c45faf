// Dialogs: [data-dialog-open="id"] opens, [data-dialog-close], Esc and the ground behind close; the native element keeps focus inside.
(() => {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog-open]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset.dialogOpen);
      if (dialog && !dialog.open) dialog.showModal();
      return;
    }
    const closer = event.target.closest("[data-dialog-close]");
    if (closer) return closer.closest("dialog")?.close();
    // Only a press on the ground itself: its target is the dialog, outside of the dialog's box.
    if (event.target.matches?.("dialog[data-dialog][open]")) {
      const box = event.target.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (!inside && event.detail > 0) event.target.close();
    }
  });
  // A dialog that came with an answer opens at once.
  stepwell.enliven("dialog[data-dialog-now]", (dialog) => !dialog.open && dialog.showModal());
})();
