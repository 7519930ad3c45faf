// The history's filters act when they are changed; the address keeps them. Without script the button does it.
stepwell.enliven("[data-run-filters]", (form) => {
  form.addEventListener("change", (event) => event.target.matches("select, input[type=date]") && !event.target.closest("[data-runmore]") && form.requestSubmit());
  form.addEventListener("submit", () => {
    // Empty filters stay out of the address: what is sent is read after this event.
    const empty = [...form.elements].filter((field) => field.name && !field.value && !field.disabled);
    for (const field of empty) field.disabled = true;
    setTimeout(() => empty.forEach((field) => (field.disabled = false)));
  });
});
