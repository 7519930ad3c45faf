// The ground of all behaviours: runs a function once for every element that carries an attribute, now or after any swap.
// window.stepwell: enliven(selector, start) · announce(text) · countReviews(number) · typing(event)
(() => {
  const behaviours = [];
  const saying = [];
  const startIn = (root, { selector, start, started }) => {
    const found = root.matches?.(selector) ? [root] : [];
    for (const element of [...found, ...root.querySelectorAll(selector)]) {
      if (started.has(element)) continue;
      started.add(element);
      start(element);
    }
  };
  // One observer sees every way a fragment can arrive: htmx, out-of-band, websocket, our own code.
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes)
      for (const node of addedNodes)
        if (node.nodeType === Node.ELEMENT_NODE) for (const behaviour of behaviours) startIn(node, behaviour);
  }).observe(document.documentElement, { childList: true, subtree: true });

  window.stepwell = {
    enliven(selector, start) {
      const behaviour = { selector, start, started: new WeakSet() };
      behaviours.push(behaviour);
      startIn(document, behaviour);
    },
    // `instead`: what was said a moment ago is no longer so (a card that is carried on).
    announce(text, { instead = false } = {}) {
      const region = document.querySelector("[data-announce]");
      if (!region) return;
      // The same words twice would be said once.
      region.textContent = "";
      // Two at one time are said together: the second must not take the place of the first.
      const waiting = saying.length > 0;
      if (instead) saying.length = 0;
      saying.push(text);
      if (waiting) return;
      setTimeout(() => {
        region.textContent = saying.map((said) => (saying.length > 1 ? said.replace(/\.$/, "") : said)).join(". ");
        saying.length = 0;
      }, 50);
    },
    // The number beside Reviews, in the menu and in the bar of phones.
    countReviews(waiting) {
      for (const count of document.querySelectorAll("[data-review-count]")) {
        count.hidden = !waiting;
        const words = document.createElement("span");
        words.className = "vh";
        words.textContent = " waiting for you";
        count.replaceChildren(...(waiting ? [waiting > 99 ? "99+" : String(waiting), words] : []));
      }
    },
    typing(event) {
      return event.target.closest?.("input:not([type=checkbox], [type=radio], [type=button]), textarea, select, [contenteditable]");
    },
  };
})();
