// The table for many gates: one box chooses all (*), X chooses the row with the focus, and the bar says how many are chosen.
stepwell.enliven("[data-many]", (form) => {
  const all = form.querySelector("[data-many-all]");
  const count = form.querySelector("[data-many-count]");
  const boxes = () => [...form.querySelectorAll('[name="pick"]')];
  const plain = count.textContent;
  const say = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    count.textContent = chosen ? `${chosen} of ${boxes().length} chosen` : plain;
    all.checked = chosen === boxes().length;
    all.indeterminate = chosen > 0 && !all.checked;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    say();
  });
  form.addEventListener("change", say);
  say();
});
