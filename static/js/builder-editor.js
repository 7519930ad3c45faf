// List and canvas: switching keeps the chosen step and saves first what is typed.
(() => {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-editor]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    const key = stepwell.canvas ? stepwell.canvas.focused() || stepwell.canvas.chosenKey() : stepwell.openCards?.()[0];
    const address = link.getAttribute("href");
    const to = key ? `${address}?open=${encodeURIComponent(key)}#step-${encodeURIComponent(key)}` : address;
    stepwell.flush().then(() => location.assign(to));
  });
})();
