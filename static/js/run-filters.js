// The history's filters act when they are changed; the address keeps them. Without script the button does it.
stepwell.enliven("[data-run-filters]", (form) => {
  const tidy = () => {
    // Empty filters stay out of the address.
    for (const field of form.elements) field.disabled = Boolean(field.name) && !field.value;
    form.requestSubmit();
    for (const field of form.elements) field.disabled = false;
  };
  form.addEventListener("change", (event) => event.target.matches("select, input[type=date]") && !event.target.closest("[data-runmore]") && tidy());
  form.addEventListener("submit", (event) => {
    if (event.submitter) {
      event.preventDefault();
      tidy();
    }
  });
});
