// Enter in a field with data-enter="#button" presses that button, not the first one of its form.
"use strict";
document.addEventListener("keydown", (event) => {
  const field = event.target.closest?.("[data-enter]");
  if (!field || event.key !== "Enter" || event.isComposing) return;
  const button = document.querySelector(field.dataset.enter);
  if (!button) return;
  event.preventDefault();
  button.click();
});
