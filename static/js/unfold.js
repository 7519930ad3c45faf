// Small screens fold what is finished: [data-unfold] shows it all (adds is-unfolded to the closest .flow or is-all to .fan).
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-unfold]");
  if (!button) return;
  const fan = button.closest(".fan");
  if (fan) fan.classList.add("is-all");
  else button.closest(".flow")?.classList.add("is-unfolded");
  button.setAttribute("aria-expanded", "true");
});
