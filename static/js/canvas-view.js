// The canvas: draws nodes and paths where the server says they stand, zooms, pans, fits, and keeps the minimap.
// stepwell.canvas: what the other canvas-*.js share. Places are data attributes that become styles through the CSSOM.
(() => {
  const RASTER = 11;
  const [LEAST, MOST] = [0.3, 1.6];
  const SVG = "http://www.w3.org/2000/svg";
  const phone = matchMedia("(max-width: 720px)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const made = (name, of) => {
    const element = document.createElementNS(SVG, name);
    element.setAttribute("class", of);
    return element;
  };

  stepwell.enliven("[data-canvas]", (canvas) => {
    const world = canvas.querySelector("#world");
    const minimap = canvas.querySelector("[data-minimap]");
    const view = { z: 1, x: 0, y: 0 };
    let nodes = new Map();
    let wires = [];
    let held = false; // a gesture is under way: answers are drawn after it

    const base = canvas.dataset.base;
    const editable = canvas.hasAttribute("data-editable");
    const snap = (value) => Math.round(value / RASTER) * RASTER;

    // --- reading what the server drew ---
    const read = () => {
      nodes = new Map();
      for (const element of world.querySelectorAll("[data-node]")) {
        const { node: key, x, y, w, h, parent = "", label = "Started by hand", branch = "" } = element.dataset;
        const ports = [...element.querySelectorAll(":scope > [data-port]")].map((port) => ({
          element: port,
          name: port.dataset.port,
          at: Number(port.dataset.at),
          label: port.dataset.portLabel,
        }));
        const [isFrame, isStart] = [element.hasAttribute("data-frame"), element.hasAttribute("data-start")];
        nodes.set(key, { element, key, x: Number(x), y: Number(y), w: Number(w), h: Number(h), parent, label, branch, ports, isFrame, isStart });
      }
      wires = [...world.querySelectorAll(".wire")].map((group) => ({
        group,
        id: group.dataset.edge ?? "",
        source: group.dataset.source,
        port: group.dataset.port,
        target: group.dataset.target,
        words: group.dataset.words ?? "",
        label: world.querySelector(`[data-label-of="${CSS.escape(group.dataset.edge ?? "-")}"]`),
      }));
    };

    // --- paths ---
    const inPoint = (node) => [node.x + node.w / 2, node.y];
    const outPoint = (node, name) => {
      const port = node.ports.find((one) => one.name === name) ?? node.ports[0];
      return [node.x + node.w * (port?.at ?? 0.5), node.y + node.h];
    };
    const bend = ([a, b], [c, d]) => {
      const m = Math.max(22, Math.abs(d - b) / 2);
      return `C${a} ${b + m} ${c} ${d - m} ${c} ${d}`;
    };
    // What stands in the way of a long path: it goes round on the nearer side.
    const inTheWay = (wire, [a, b], [c, d]) => {
      const { parent } = nodes.get(wire.source);
      const hits = [];
      for (const node of nodes.values()) {
        if (node.parent !== parent || node.key === wire.source || node.key === wire.target) continue;
        if (node.y + node.h < b + 4 || node.y > d - 4) continue;
        const part = (node.y + node.h / 2 - b) / (d - b);
        const x = a + (c - a) * (part < 0.5 ? 2 * part * part : 1 - 2 * (1 - part) * (1 - part));
        if (x > node.x - 10 && x < node.x + node.w + 10) hits.push(node);
      }
      return hits;
    };
    const lane = (wire, hits, [a, b], [c, d]) => {
      const { parent } = nodes.get(wire.source);
      const top = Math.min(...hits.map((node) => node.y)) - 16;
      const bottom = Math.max(...hits.map((node) => node.y + node.h)) + 16;
      const there = [...nodes.values()].filter((node) => node.parent === parent && node.y < bottom && node.y + node.h > top && ![wire.source, wire.target].includes(node.key));
      const clear = (x) => !there.some((node) => x > node.x - 12 && x < node.x + node.w + 12);
      const tries = there.flatMap((node) => [node.x - 18, node.x + node.w + 18]).filter(clear);
      const far = (x) => Math.abs(x - a) + Math.abs(x - c);
      const x = tries.sort((one, other) => far(one) - far(other))[0];
      return x === undefined ? null : { x, top: Math.max(top, b + 12), bottom: Math.min(bottom, d - 20) };
    };
    // The path, and where its first bend leads: what its name is put on.
    const course = (wire, from, to) => {
      const end = [to[0], to[1] - 9];
      const hits = to[1] > from[1] + 60 ? inTheWay(wire, from, to) : [];
      const round = hits.length ? lane(wire, hits, from, to) : null;
      if (!round || round.bottom <= round.top) return { d: `M${from[0]} ${from[1]}${bend(from, end)}`, knee: end };
      return { d: `M${from[0]} ${from[1]}${bend(from, [round.x, round.top])}L${round.x} ${round.bottom}${bend([round.x, round.bottom], end)}`, knee: [round.x, round.top] };
    };
    // A name stands on its path, clear of the step that it leaves: reckoned, since measuring a path costs a layout.
    const CLEAR = 22;
    const named = ([a, b], [c, d]) => {
      const m = Math.max(22, Math.abs(d - b) / 2);
      const along = (t, p, q, r, s) => (1 - t) ** 3 * p + 3 * (1 - t) ** 2 * t * q + 3 * (1 - t) * t ** 2 * r + t ** 3 * s;
      let t = 0.5;
      for (let step = 0.25, y; step > 0.01; step /= 2) {
        y = along(t, b, b + m, d - m, d);
        t += y > b + CLEAR ? -step : step;
      }
      t = Math.min(t, d > b ? 0.5 : t);
      return [along(t, a, a, c, c), along(t, b, b + m, d - m, d)];
    };
    const drawWire = (wire) => {
      const [source, target] = [nodes.get(wire.source), nodes.get(wire.target)];
      if (!source || !target) return;
      const { group } = wire;
      if (!group.firstChild) group.append(made("path", "hit"), made("path", "line"), made("path", "arrow"));
      const [from, to] = [outPoint(source, wire.port), inPoint(target)];
      const { d, knee } = course(wire, from, to);
      const [hit, line, arrow] = group.children;
      hit.setAttribute("d", d);
      line.setAttribute("d", d);
      arrow.setAttribute("d", `M${to[0]} ${to[1] - 4}l-4.5 -7h9z`);
      if (wire.label) {
        const [x, y] = named(from, knee);
        wire.label.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
      }
    };
    const placeNode = (node) => {
      const { style } = node.element;
      style.transform = `translate(${node.x}px, ${node.y}px)`;
      if (node.isFrame) {
        style.width = `${node.w}px`;
        style.height = `${node.h}px`;
      }
    };
    const wiresOf = (keys) => wires.filter((wire) => keys.has(wire.source) || keys.has(wire.target));

    const draw = () => {
      for (const node of nodes.values()) {
        placeNode(node);
        for (const port of node.ports) port.element.style.left = `${port.at * 100}%`;
      }
      for (const wire of wires) drawWire(wire);
      drawMap();
      canvas.dispatchEvent(new CustomEvent("canvas:drawn"));
    };
    // Only steps, paths and places matter: initials and states on a step are drawn by others, at any rate.
    const matters = ({ type, target, addedNodes, removedNodes }) =>
      type === "attributes" || target === world || target.matches(".wires") || [...addedNodes, ...removedNodes].some((one) => one.matches?.("[data-node], .wire, .port, .wirelabel"));
    const watcher = new MutationObserver((records) => records.some(matters) && refresh());
    const refresh = () => {
      if (held) return;
      read();
      draw();
      watcher.takeRecords();
    };
    watcher.observe(world, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-x", "data-y", "data-w", "data-h"] });
    // A morph takes the styles off that are not in the answer, even where nothing else differs.
    document.addEventListener("htmx:after:swap", refresh);

    // --- the part that is seen ---
    const size = () => canvas.getBoundingClientRect();
    const clearLeft = () => (canvas.querySelector(".palette")?.offsetParent ? 190 : 0);
    const zoomed = canvas.querySelectorAll("[data-zoom]");
    let shownAt = 0;
    let settling = 0;
    // Ports keep their size on the screen. That is styled anew for every step, so while somebody zooms it waits for the end.
    const settle = () => {
      clearTimeout(settling);
      if (shownAt === view.z) return;
      const now = () => canvas.style.setProperty("--z", (shownAt = view.z));
      if (shownAt) settling = setTimeout(now, 120);
      else now();
    };
    const show = () => {
      world.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.z})`;
      settle();
      canvas.style.backgroundSize = `${22 * view.z}px ${22 * view.z}px`;
      canvas.style.backgroundPosition = `${view.x}px ${view.y}px`;
      for (const label of zoomed) label.textContent = `${Math.round(view.z * 100)}%`;
      drawMap("view");
      canvas.dispatchEvent(new CustomEvent("canvas:seen"));
      remember();
    };
    let remembering = 0;
    const remember = () => {
      if (remembering) return;
      remembering = setTimeout(() => {
        remembering = 0;
        try {
          sessionStorage.setItem(`stepwell-canvas-${canvas.dataset.canvas}`, JSON.stringify(view));
        } catch {
          // The view starts afresh then.
        }
      }, 300);
    };
    const toWorld = (x, y) => {
      const { left, top } = size();
      return [(x - left - view.x) / view.z, (y - top - view.y) / view.z];
    };
    const toScreen = (x, y) => {
      const { left, top } = size();
      return [left + view.x + x * view.z, top + view.y + y * view.z];
    };
    const zoomTo = (wanted, at) => {
      const z = Math.min(MOST, Math.max(LEAST, wanted));
      const { left, top, width, height } = size();
      const [x, y] = at ? [at[0] - left, at[1] - top] : [width / 2, height / 2];
      view.x = x - ((x - view.x) * z) / view.z;
      view.y = y - ((y - view.y) * z) / view.z;
      view.z = z;
      show();
    };
    const panBy = (x, y) => {
      view.x += x;
      view.y += y;
      show();
    };
    const extent = () => {
      const all = [...nodes.values()];
      if (!all.length) return { x: 0, y: 0, w: 231, h: 55 };
      const [x, y] = [Math.min(...all.map((node) => node.x)), Math.min(...all.map((node) => node.y))];
      return { x, y, w: Math.max(...all.map((node) => node.x + node.w)) - x, h: Math.max(...all.map((node) => node.y + node.h)) - y };
    };
    const fit = (least = LEAST, most = 1) => {
      const box = extent();
      const { width, height } = size();
      const [left, pad, below] = [clearLeft(), phone.matches ? 14 : 26, phone.matches ? 150 : 76];
      const z = Math.min(most, Math.max(least, Math.min((width - left - 2 * pad) / box.w, (height - pad - below) / box.h)));
      view.z = z;
      view.x = left + (width - left - box.w * z) / 2 - box.x * z;
      // What does not fit in height starts at the top.
      const free = height - below - box.h * z;
      view.y = (phone.matches && free > pad ? free / 2 + 20 : pad) - box.y * z;
      show();
    };
    const reveal = (key) => {
      const node = nodes.get(key);
      if (!node) return;
      const { width, height } = size();
      const left = clearLeft() + 12;
      const [x, y, w, h] = [view.x + node.x * view.z, view.y + node.y * view.z, node.w * view.z, Math.min(node.h, 160) * view.z];
      const across = x < left ? left - x : x + w > width - 24 ? width - 24 - x - w : 0;
      const down = y < 24 ? 24 - y : y + h > height - 90 ? height - 90 - y - h : 0;
      if (across || down) panBy(across, down);
    };

    // --- minimap: its parts are made once for each step; panning moves only the frame of what is seen ---
    const map = new Map(); // key -> rect
    const glass = made("rect", "view");
    const put = (rect, values) => {
      for (const [name, value] of Object.entries(values)) if (rect.getAttribute(name) !== String(value)) rect.setAttribute(name, value);
    };
    let mapDue = "";
    const drawMap = (what = "all") => {
      if (!minimap) return;
      if (!mapDue) requestAnimationFrame(paintMap);
      if (mapDue !== "all") mapDue = what;
    };
    const paintMap = () => {
      const all = mapDue === "all";
      mapDue = "";
      if (phone.matches) return;
      const svg = minimap.firstElementChild;
      if (all) {
        const box = extent();
        const pad = 40;
        put(svg, { viewBox: `${box.x - pad} ${box.y - pad} ${box.w + 2 * pad} ${box.h + 2 * pad}` });
        for (const [key, rect] of map) {
          if (nodes.has(key)) continue;
          rect.remove();
          map.delete(key);
        }
        for (const node of nodes.values()) {
          let rect = map.get(node.key);
          if (!rect) {
            rect = made("rect", "");
            map.set(node.key, rect);
            if (node.isFrame) svg.prepend(rect);
            else svg.append(rect);
          }
          const { classList } = node.element;
          put(rect, { x: node.x, y: node.y, width: node.w, height: node.h, rx: 14, class: [node.isFrame && "f", node.element.hasAttribute("data-human") && "h", classList.contains("is-selected") && "s"].filter(Boolean).join(" ") });
        }
        svg.append(glass);
      }
      const { width, height } = size();
      put(glass, { x: -view.x / view.z, y: -view.y / view.z, width: width / view.z, height: height / view.z, rx: 14 });
    };
    const mapTo = (event) => {
      const svg = minimap.querySelector("svg");
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const { width, height } = size();
      view.x = width / 2 - point.x * view.z;
      view.y = height / 2 - point.y * view.z;
      show();
    };
    minimap?.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      minimap.setPointerCapture(event.pointerId);
      mapTo(event);
    });
    minimap?.addEventListener("pointermove", (event) => minimap.hasPointerCapture(event.pointerId) && mapTo(event));

    // --- wheel and buttons ---
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (event.target.closest(".float")) return;
        event.preventDefault();
        if (event.ctrlKey || event.metaKey) zoomTo(view.z * Math.exp(-event.deltaY * 0.004), [event.clientX, event.clientY]);
        else if (event.shiftKey && !event.deltaX) panBy(-event.deltaY, 0);
        else panBy(-event.deltaX, -event.deltaY);
      },
      { passive: false },
    );
    canvas.addEventListener("click", (event) => {
      const by = event.target.closest("[data-zoom-by]");
      if (by) zoomTo(view.z * Number(by.dataset.zoomBy));
      else if (event.target.closest("[data-fit]")) fit();
    });
    new ResizeObserver(() => drawMap()).observe(canvas);

    stepwell.canvas = {
      canvas,
      world,
      base,
      editable,
      phone,
      still,
      view,
      snap,
      node: (key) => nodes.get(key),
      nodes: () => [...nodes.values()],
      wires: () => wires,
      wire: (id) => wires.find((one) => one.id && one.id === id),
      inPoint,
      outPoint,
      bend,
      placeNode,
      drawWire,
      wiresOf,
      drawMap,
      refresh,
      toWorld,
      toScreen,
      zoomTo,
      panBy,
      fit,
      reveal,
      held: () => held,
      hold: (now) => {
        held = now;
        if (!now) refresh();
      },
    };

    read();
    draw();
    let seen = null;
    try {
      seen = JSON.parse(sessionStorage.getItem(`stepwell-canvas-${canvas.dataset.canvas}`));
    } catch {
      // Nothing is remembered.
    }
    if (seen && [seen.x, seen.y, seen.z].every(Number.isFinite)) {
      Object.assign(view, seen);
      show();
    } else fit(phone.matches ? 0.42 : 0.8, phone.matches ? 1 : 0.9);
    const chosen = world.querySelector(".is-selected");
    if (chosen) reveal(chosen.dataset.node);
    canvas.dataset.ready = "";
  });
})();
