// A form that only chooses what is shown asks at once; its button is for pages without script.
stepwell.enliven("[data-submit-on-change]", (form) => {
  for (const button of form.querySelectorAll("[data-submit]")) button.hidden = true;
  form.addEventListener("change", () => form.requestSubmit());
});
