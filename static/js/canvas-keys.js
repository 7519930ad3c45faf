// The canvas by keyboard: one Tab stop, arrows along the paths, Enter opens the settings, C connects, A adds, T tests, Delete removes.
// Names and places are said by the nodes themselves; what changed is said by the toasts.
(() => {
  stepwell.enliven("[data-canvas]", (canvas) => {
    const shared = stepwell.canvas;
    let at = "";

    const buttonOf = (key) => shared.node(key)?.element.querySelector(".nodebox__in");
    const rove = () => {
      const nodes = shared.nodes();
      const stop = shared.node(at) ? at : shared.node(shared.chosenKey()) ? shared.chosenKey() : nodes[0]?.key;
      for (const node of nodes) node.element.querySelector(".nodebox__in").tabIndex = node.key === stop ? 0 : -1;
    };
    const focus = (key) => {
      const button = buttonOf(key);
      if (!button) return;
      at = key;
      rove();
      button.focus({ preventScroll: true });
    };
    canvas.addEventListener("focusin", (event) => {
      const key = event.target.closest?.("[data-node]")?.dataset.node;
      if (!key) return;
      at = key;
      rove();
      if (event.target.matches(":focus-visible")) shared.reveal(key);
    });
    canvas.addEventListener("canvas:drawn", () => {
      // A morph may have taken the focused node away: the canvas keeps the focus.
      rove();
    });
    shared.focus = focus;
    shared.focused = () => document.activeElement?.closest?.("[data-node]")?.dataset.node ?? "";

    const middle = (node) => [node.x + node.w / 2, node.y + (node.isFrame ? 20 : node.h / 2)];
    // The nearest in a direction, where no path leads there.
    const nearest = (node, [dx, dy]) => {
      const [x, y] = middle(node);
      const found = shared
        .nodes()
        .filter((other) => other !== node)
        .map((other) => {
          const [ox, oy] = middle(other);
          const [along, aside] = dx ? [(ox - x) * dx, Math.abs(oy - y)] : [(oy - y) * dy, Math.abs(ox - x)];
          return { other, along, far: along + aside * (dx ? 3 : 1.5) };
        })
        .filter(({ along }) => along > 8)
        .sort((one, two) => one.far - two.far);
      return found[0]?.other;
    };
    const byPlace = (one, other) => one.x - other.x;
    const after = (key) => {
      const node = shared.node(key);
      const order = node.ports.map((port) => port.name);
      return shared
        .wires()
        .filter((wire) => wire.source === key)
        .sort((one, other) => order.indexOf(one.port) - order.indexOf(other.port))
        .map((wire) => shared.node(wire.target))
        .filter(Boolean);
    };
    const before = (key) =>
      shared
        .wires()
        .filter((wire) => wire.target === key)
        .map((wire) => shared.node(wire.source))
        .filter(Boolean);
    const go = (node, key) => {
      if (key === "ArrowDown") {
        // Into a frame, through it, and out of it again: in the order in which it runs.
        const body = node.isFrame ? shared.nodes().filter((one) => one.parent === node.key) : [];
        const roots = body.filter((one) => !before(one.key).length).sort(byPlace);
        if (roots.length) return roots[0];
        const next = after(node.key);
        if (next.length) return next[0];
        return node.parent ? (after(node.parent)[0] ?? nearest(node, [0, 1])) : nearest(node, [0, 1]);
      }
      if (key === "ArrowUp") return before(node.key)[0] ?? (node.parent ? shared.node(node.parent) : nearest(node, [0, -1]));
      const step = key === "ArrowRight" ? 1 : -1;
      const beside = [...new Set(before(node.key).flatMap((one) => after(one.key)))].sort(byPlace);
      const index = beside.indexOf(node);
      return (index >= 0 && beside[index + step]) || nearest(node, [step, 0]);
    };

    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || stepwell.typing(event)) return;
      const palette = event.target.closest(".palette");
      if (palette && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
        const items = [...palette.querySelectorAll("[data-palette]")];
        const next = items[(items.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length];
        for (const item of items) item.tabIndex = item === next ? 0 : -1;
        next.focus();
        event.preventDefault();
        return;
      }
      const node = shared.node(event.target.closest("[data-node]")?.dataset.node);
      if (!node) return;
      const stop = () => {
        event.preventDefault();
        event.stopPropagation();
      };
      if (event.key.startsWith("Arrow")) {
        stop();
        const next = go(node, event.key);
        if (next) focus(next.key);
        return;
      }
      if (event.key === "Home" || event.key === "End") {
        stop();
        const all = shared.nodes();
        focus((event.key === "Home" ? all[0] : all.at(-1)).key);
      } else if (event.key === "Enter") {
        stop();
        shared.choose(node.key, { from: buttonOf(node.key) }).then(() => {
          const panel = document.getElementById("panel");
          (panel.querySelector("[data-field] input, [data-field=label], textarea, select") ?? panel).focus({ preventScroll: true });
        });
      } else if (event.key === "Escape") {
        if (!shared.chosen.size && !shared.chosenKey() && !shared.wired()) return;
        stop();
        shared.unchoose().then(() => focus(node.key));
      } else if ((event.key === "Delete" || event.key === "Backspace") && shared.editable) {
        stop();
        remove(node);
      } else if (stepwell.singleKeys()) single(event, node, stop);
    });
    const single = (event, node, stop) => {
      if (event.key === "+" || event.key === "=") {
        stop();
        shared.zoomTo(shared.view.z * 1.25);
      } else if (event.key === "-") {
        stop();
        shared.zoomTo(shared.view.z * 0.8);
      } else if (event.key === "0") {
        stop();
        shared.fit();
      } else if (shared.editable) edit(event, node, stop);
    };
    const remove = (node) => {
      const next = before(node.key)[0]?.key ?? "";
      if (next) at = next;
      if (shared.chosen.size > 1) shared.post("canvas/several/", { act: "remove", keys: JSON.stringify([...shared.chosen]) });
      else shared.removeStep(node.key);
    };
    const edit = (event, node, stop) => {
      const press = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (press === "c") {
        stop();
        shared.connect(node.key);
      } else if (press === "a") {
        stop();
        const { left, bottom } = buttonOf(node.key).getBoundingClientRect();
        const places = node.ports.length ? shared.placesAfter(node) : [{ place: "end", label: "at the end" }];
        shared.pick(places, { at: [left, bottom], from: buttonOf(node.key) });
      } else if (press === "t" && node.key !== "start") {
        stop();
        shared.choose(node.key, { from: buttonOf(node.key) }).then(() => {
          document.getElementById("tab-test")?.click();
          stepwell.focusTest();
        });
      } else if (press === "e" && node.key !== "start") {
        stop();
        shared.post(`steps/${encodeURIComponent(node.key)}/enabled/`, node.element.classList.contains("is-off") ? { on: "on" } : {});
      }
    };
    // Focus that an answer took away goes to the canvas, not to the page's top.
    document.addEventListener("builder:changed", () => {
      requestAnimationFrame(() => {
        if (document.activeElement === document.body && !document.querySelector("dialog[open]")) focus(shared.node(at) ? at : shared.nodes()[0]?.key);
      });
    });
    rove();
  });
})();
