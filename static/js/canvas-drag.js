// Gestures on the canvas: dragging nodes, groups and kinds of step, the rubber band, drawing and re-routing paths, panning, pinching.
// A gesture moves what is drawn and posts one operation when it ends; Esc takes it back.
(() => {
  const SLACK = 4; // px before a press is a drag

  stepwell.enliven("[data-canvas]", (canvas) => {
    const shared = stepwell.canvas;
    const { world, editable, phone } = shared;
    const svg = () => document.getElementById("wires");
    const band = document.getElementById("band");
    let gesture = null;
    let space = false;
    let dragged = false;
    const pointers = new Map();

    const nodeAt = (element) => shared.node(element?.closest?.("[data-node]")?.dataset.node);
    const inside = (node, x, y) => x >= node.x && x <= node.x + node.w && y >= node.y && y <= node.y + node.h;
    // The innermost frame there, leaving out what is being dragged.
    const frameAt = (x, y, without = new Set()) =>
      shared
        .nodes()
        .filter((node) => node.isFrame && !without.has(node.key) && inside(node, x, y))
        .sort((one, other) => one.w * one.h - other.w * other.h)[0];
    const within = (key) => {
      const found = [];
      const todo = [key];
      while (todo.length) {
        const at = todo.pop();
        for (const node of shared.nodes()) if (node.parent === at) found.push(node) && todo.push(node.key);
      }
      return found;
    };

    // A popover that opens while the button is let go is closed by that very press: it waits for its end.
    const pickThere = (...how) => setTimeout(() => shared.pick(...how));

    // --- dashed line of a path that is being drawn ---
    let dashed = null;
    const dash = (from, to, backward) => {
      if (!dashed?.isConnected) {
        dashed = document.createElementNS("http://www.w3.org/2000/svg", "path");
        dashed.setAttribute("class", "new");
        svg().append(dashed);
      }
      const [start, end] = backward ? [to, from] : [from, to];
      dashed.setAttribute("d", `M${start[0]} ${start[1]}${shared.bend(start, end)}`);
    };
    const undash = () => {
      dashed?.remove();
      dashed = null;
      canvas.classList.remove("is-wiring");
      for (const element of canvas.querySelectorAll(".is-target, .is-dim, .is-fit")) element.classList.remove("is-target", "is-dim", "is-fit");
      for (const group of world.querySelectorAll(".wire.is-moving")) group.classList.remove("is-moving");
    };
    const fits = (node) => {
      const { source, port, target, backward, edge } = gesture;
      if (backward) return Boolean(node.ports.length) && node.key !== "start" && node.ports.some((one) => shared.accepts(node, one.name, shared.node(target), { moving: edge }));
      return node.key !== "start" && shared.accepts(shared.node(source), port, node, { moving: edge });
    };
    // Ports that would take the path grow, the others dim.
    const showFits = () => {
      canvas.classList.add("is-wiring");
      for (const node of shared.nodes()) {
        const good = fits(node);
        node.element.classList.toggle("is-dim", !good && node.key !== gesture.source && !node.isFrame);
        for (const port of node.element.querySelectorAll(":scope > .port")) if (port.hasAttribute("data-in") !== Boolean(gesture.backward)) port.classList.toggle("is-fit", good);
      }
    };
    const startWire = (event, start) => {
      gesture = { kind: "wire", id: event.pointerId, at: [event.clientX, event.clientY], pressed: nodeAt(event.target), ...start };
      shared.unwire();
      shared.hold(true);
      if (start.edge) shared.wire(start.edge).group.classList.add("is-moving");
      showFits();
    };
    const moveWire = (event) => {
      const to = shared.toWorld(event.clientX, event.clientY);
      const from = gesture.backward ? shared.inPoint(shared.node(gesture.target)) : shared.outPoint(shared.node(gesture.source), gesture.port);
      for (const port of canvas.querySelectorAll(".port.is-target")) port.classList.remove("is-target");
      gesture.over = null;
      const under = document.elementFromPoint(event.clientX, event.clientY);
      const node = nodeAt(under);
      if (node && !(node.isFrame && !under.closest(".port, .framebox__head"))) {
        gesture.over = node;
        gesture.overPort = under.closest("[data-port]")?.dataset.port ?? null;
        if (fits(node)) {
          const port = gesture.backward ? (under.closest("[data-port]") ?? node.element.querySelector(":scope > [data-port]")) : node.element.querySelector(":scope > [data-in]");
          port?.classList.add("is-target");
          dash(from, gesture.backward ? shared.outPoint(node, port?.dataset.port) : shared.inPoint(node), gesture.backward);
          return;
        }
      }
      dash(from, to, gesture.backward);
    };
    const endWire = (event) => {
      const { source, port, target, backward, edge, over, overPort, at, pressed } = gesture;
      undash();
      gesture = null;
      shared.hold(false);
      // Far away, ports reach over most of their step: a press that does not move is meant for the step.
      if (pressed && Math.hypot(event.clientX - at[0], event.clientY - at[1]) < 2 * SLACK) return choosePressed(event, pressed);
      if (over && (over.key === "start" || (source === "start" && !backward))) {
        stepwell.toast("A step starts the workflow by itself when no path leads to it. Remove the paths to it instead.", { kind: "bad" });
      } else if (over && edge) {
        const now = shared.wire(edge);
        if (backward ? over.key === now.source && (!overPort || overPort === now.port) : over.key === now.target) return;
        const values = backward ? { source: over.key, ...(overPort ? { port: overPort } : {}) } : { target: over.key };
        shared.post(`canvas/paths/${encodeURIComponent(edge)}/`, values);
      } else if (over) {
        const values = backward ? { source: over.key, target, ...(overPort ? { port: overPort } : {}) } : { source, port, target: over.key };
        if (values.source !== values.target) shared.post("paths/", values);
      } else if (!backward && !edge) {
        // On empty ground: choose what comes there, and connect it.
        const [x, y] = shared.toWorld(event.clientX, event.clientY);
        const from = shared.node(source);
        const spot = [shared.snap(x - 115), shared.snap(y)];
        const said = from.ports.find((one) => one.name === port)?.label;
        const place = source === "start" ? "root" : `after:${source}:${port}`;
        const words = `${said ? `on ${said}, ` : ""}after ${from.label}`;
        pickThere([{ place, label: words }], { at: [event.clientX, event.clientY], spot, from: from.element.querySelector(".nodebox__in") });
      }
    };

    // --- dragging nodes ---
    const startDrag = (event, node) => {
      const group = shared.chosen.has(node.key) ? [...shared.chosen].map(shared.node).filter(Boolean) : [node];
      const roots = group.filter((one) => !group.some((other) => other !== one && within(other.key).includes(one)));
      const all = new Map();
      for (const one of roots.filter((root) => root.key !== "start")) for (const each of [one, ...within(one.key)]) all.set(each.key, { node: each, x: each.x, y: each.y });
      gesture = { kind: "node", id: event.pointerId, at: [event.clientX, event.clientY], node, roots, all, keys: new Set(all.keys()), moved: false };
    };
    const moveDrag = (event) => {
      const { z } = shared.view;
      const [dx, dy] = [event.clientX - gesture.at[0], event.clientY - gesture.at[1]];
      if (!gesture.moved) {
        if (Math.hypot(dx, dy) < SLACK || !editable || !gesture.all.size) return;
        gesture.moved = true;
        shared.hold(true);
        shared.unwire();
        canvas.classList.add("is-dragging");
        for (const { node } of gesture.all.values()) node.element.classList.add("is-dragging");
      }
      // Everything moves by what snaps the dragged node.
      const first = gesture.all.get(gesture.node.key) ?? gesture.all.values().next().value;
      const [x, y] = [shared.snap(first.x + dx / z) - first.x, shared.snap(first.y + dy / z) - first.y];
      for (const one of gesture.all.values()) {
        one.node.x = one.x + x;
        one.node.y = one.y + y;
        shared.placeNode(one.node);
      }
      for (const wire of shared.wiresOf(gesture.keys)) shared.drawWire(wire);
      const [px, py] = shared.toWorld(event.clientX, event.clientY);
      const frame = frameAt(px, py, gesture.keys);
      gesture.frame = frame;
      for (const node of shared.nodes()) if (node.isFrame) node.element.classList.toggle("is-over", node === frame);
      shared.drawMap();
    };
    const dropped = () => {
      canvas.classList.remove("is-dragging");
      for (const element of world.querySelectorAll(".is-dragging, .is-over")) element.classList.remove("is-dragging", "is-over");
    };
    const endDrag = async () => {
      const { moved, node, roots, all, frame } = gesture;
      gesture = null;
      if (!moved) return;
      dropped();
      const into = frame?.key ?? "";
      const crossing = roots.filter((one) => one.key !== "start" && one.parent !== into);
      const positions = Object.fromEntries([...all.values()].map((one) => [one.node.key, [one.node.x, one.node.y]]));
      const values = { positions: JSON.stringify(positions) };
      // Out of one frame while still in another that holds it is a move into that one.
      if (crossing.length) Object.assign(values, { into, keys: JSON.stringify(crossing.map((one) => one.key)) });
      await shared.post("canvas/place/", values);
      shared.hold(false);
      shared.focus?.(node.key);
    };

    // --- a kind of step from the palette ---
    const ghost = document.createElement("div");
    ghost.className = "ghostnode";
    const startKind = (event, button) => {
      gesture = { kind: "kind", id: event.pointerId, button, type: button.dataset.palette, at: [event.clientX, event.clientY], moved: false };
    };
    const moveKind = (event) => {
      if (!gesture.moved && Math.hypot(event.clientX - gesture.at[0], event.clientY - gesture.at[1]) < SLACK) return;
      if (!gesture.moved) {
        gesture.moved = true;
        ghost.replaceChildren(...[...gesture.button.childNodes].map((one) => one.cloneNode(true)));
        canvas.append(ghost);
        canvas.classList.add("is-dragging");
      }
      const { left, top } = canvas.getBoundingClientRect();
      ghost.style.transform = `translate(${event.clientX - left}px, ${event.clientY - top}px) scale(${shared.view.z}) translate(-50%, -50%)`;
      const [x, y] = shared.toWorld(event.clientX, event.clientY);
      gesture.frame = frameAt(x, y);
      const under = document.elementFromPoint(event.clientX, event.clientY);
      const edge = under?.closest(".wire:not([data-fixed])")?.dataset.edge ?? "";
      gesture.edge = edge;
      for (const group of world.querySelectorAll(".wire")) group.classList.toggle("is-over", Boolean(edge) && group.dataset.edge === edge);
      for (const node of shared.nodes()) if (node.isFrame) node.element.classList.toggle("is-over", !edge && node === gesture.frame);
    };
    const endKind = (event) => {
      const { type, moved, frame, edge, button } = gesture;
      gesture = null;
      // A click follows the release of the button that was dragged.
      dragged = moved;
      setTimeout(() => (dragged = false));
      ghost.remove();
      dropped();
      for (const group of world.querySelectorAll(".wire.is-over")) group.classList.remove("is-over");
      if (!moved) return;
      const under = document.elementFromPoint(event.clientX, event.clientY);
      if (!under?.closest("#canvas") || under.closest(".float")) return;
      const [x, y] = shared.toWorld(event.clientX, event.clientY);
      const spot = [shared.snap(x - 115), shared.snap(y - 27)];
      const place = edge ? `edge:${edge}` : frame ? `inside:${frame.key}` : "root";
      if (!type) pickThere([{ place, label: "there" }], { at: [event.clientX, event.clientY], spot, from: button });
      else shared.post("add/", { type, place, x: spot[0], y: spot[1] });
    };

    // --- rubber band ---
    const moveBand = (event) => {
      const { left, top } = canvas.getBoundingClientRect();
      const [a, b] = gesture.at;
      if (!gesture.moved && Math.hypot(event.clientX - a, event.clientY - b) < SLACK) return;
      gesture.moved = true;
      band.hidden = false;
      const [x, y] = [Math.min(a, event.clientX), Math.min(b, event.clientY)];
      const [w, h] = [Math.abs(event.clientX - a), Math.abs(event.clientY - b)];
      Object.assign(band.style, { left: `${x - left}px`, top: `${y - top}px`, width: `${w}px`, height: `${h}px` });
      const [x1, y1] = shared.toWorld(x, y);
      const [x2, y2] = shared.toWorld(x + w, y + h);
      const caught = shared.nodes().filter((node) => node.key !== "start" && (node.isFrame ? node.x > x1 && node.y > y1 && node.x + node.w < x2 && node.y + node.h < y2 : node.x < x2 && node.x + node.w > x1 && node.y < y2 && node.y + node.h > y1));
      shared.setChosen([...gesture.kept, ...caught.map((node) => node.key)]);
    };

    // --- pointers ---
    const cancel = () => {
      if (!gesture) return;
      const { kind, all, moved } = gesture;
      gesture = null;
      undash();
      dropped();
      ghost.remove();
      band.hidden = true;
      if (kind === "node" && moved) for (const one of all.values()) Object.assign(one.node, { x: one.x, y: one.y });
      shared.hold(false);
    };
    const spread = () => {
      const [one, other] = [...pointers.values()];
      return { apart: Math.hypot(one[0] - other[0], one[1] - other[1]), middle: [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2] };
    };
    canvas.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      if (pointers.size === 2) {
        cancel();
        gesture = { kind: "pinch", ...spread(), z: shared.view.z };
        return;
      }
      if (gesture || event.target.closest(".float:not(.palette), .wiretools, [popover], .canvas__empty")) return;
      const kind = event.target.closest("[data-palette]");
      if (event.target.closest(".palette") && !kind) return;
      const touch = event.pointerType === "touch";
      // A finger pans on the ground and on phones; on larger screens it takes steps along.
      const held = !phone.matches && event.target.closest(".nodebox, .framebox__head");
      const pan = event.button === 1 || (event.button === 0 && (space || (touch && !held)));
      if (event.button > 1) return;
      const [node, port, end] = [nodeAt(event.target), event.target.closest(".port"), event.target.closest("[data-wire-end]")];
      if (kind && event.button === 0) startKind(event, kind);
      else if (end && editable && !pan) {
        const one = shared.wire(shared.wired());
        startWire(event, { source: one.source, port: one.port, target: one.target, backward: end.dataset.wireEnd === "source", edge: one.id });
      } else if (port && editable && !phone.matches && event.button === 0 && !space) {
        if (port.hasAttribute("data-in")) startWire(event, { target: node.key, backward: true });
        else startWire(event, { source: node.key, port: port.dataset.port });
      } else if (node && !pan && event.button === 0 && !(node.isFrame && !event.target.closest(".framebox__head"))) startDrag(event, node);
      else if (pan) gesture = { kind: "pan", id: event.pointerId, last: [event.clientX, event.clientY], at: [event.clientX, event.clientY], moved: false, node, wire: event.target.closest(".wire") };
      else gesture = { kind: "band", id: event.pointerId, at: [event.clientX, event.clientY], moved: false, kept: event.shiftKey ? [...shared.chosen] : [], wire: event.target.closest(".wire"), node };
      if (gesture && !kind) canvas.setPointerCapture(event.pointerId);
      else if (gesture) kind.setPointerCapture(event.pointerId);
      if (gesture?.kind === "pan") canvas.classList.add("is-panning");
    });
    let due = null;
    const apply = () => {
      const event = due;
      due = null;
      if (!gesture || !event) return;
      if (gesture.kind === "pinch") {
        if (pointers.size < 2) return;
        const { apart, middle } = spread();
        shared.panBy(middle[0] - gesture.middle[0], middle[1] - gesture.middle[1]);
        gesture.middle = middle;
        shared.zoomTo((gesture.z * apart) / gesture.apart, middle);
      } else if (gesture.id !== event.pointerId) return;
      else if (gesture.kind === "wire") moveWire(event);
      else if (gesture.kind === "node") moveDrag(event);
      else if (gesture.kind === "kind") moveKind(event);
      else if (gesture.kind === "band") moveBand(event);
      else if (gesture.kind === "pan") {
        if (!gesture.moved && Math.hypot(event.clientX - gesture.at[0], event.clientY - gesture.at[1]) < SLACK) return;
        gesture.moved = true;
        shared.panBy(event.clientX - gesture.last[0], event.clientY - gesture.last[1]);
        gesture.last = [event.clientX, event.clientY];
      }
    };
    canvas.addEventListener("pointermove", (event) => {
      if (pointers.has(event.pointerId)) pointers.set(event.pointerId, [event.clientX, event.clientY]);
      if (!gesture) return;
      // Once a frame is as often as anybody sees.
      if (!due) requestAnimationFrame(apply);
      due = event;
    });
    const choosePressed = (event, node) => {
      if (event.shiftKey || event.ctrlKey || event.metaKey) {
        if (node.key === "start") return;
        const now = new Set(shared.chosen.size ? shared.chosen : [shared.chosenKey()].filter((key) => key && key !== "start"));
        if (!now.delete(node.key)) now.add(node.key);
        shared.setChosen(now);
      } else shared.choose(node.key, { from: node.element.querySelector(".nodebox__in") });
      shared.focus?.(node.key);
    };
    const up = (event) => {
      pointers.delete(event.pointerId);
      if (due) apply();
      canvas.classList.remove("is-panning");
      if (!gesture) return;
      if (gesture.kind === "pinch") {
        gesture = null;
        return;
      }
      if (gesture.id !== event.pointerId) return;
      const { kind, moved, node, wire } = gesture;
      if (kind === "wire") endWire(event);
      else if (kind === "kind") endKind(event);
      else if (kind === "node") {
        endDrag();
        if (!moved) choosePressed(event, node);
      } else {
        gesture = null;
        band.hidden = true;
        if (moved) return;
        if (node && !(node.isFrame && kind === "band")) choosePressed(event, node);
        else if (wire && !wire.hasAttribute("data-fixed")) shared.showTools(wire.dataset.edge);
        else if (!event.target.closest?.(".float, .wiretools")) shared.unchoose();
      }
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", (event) => {
      pointers.delete(event.pointerId);
      cancel();
    });

    // The browser's own click on a node comes from the keyboard or a screen reader only.
    canvas.addEventListener("click", (event) => {
      const node = event.target.closest(".nodebox__in") && nodeAt(event.target);
      if (node && event.detail === 0) shared.choose(node.key, { from: event.target.closest(".nodebox__in") });
      const kind = event.target.closest("[data-palette]");
      if (!kind || dragged) return;
      if (!kind.dataset.palette) {
        const { right, top } = kind.getBoundingClientRect();
        const node = shared.node(shared.chosenKey());
        shared.pick(node?.ports.length ? shared.placesAfter(node) : [{ place: "end", label: "at the end" }], { at: [right + 8, top], from: kind });
      } else shared.post("add/", { type: kind.dataset.palette, place: afterChosen() });
    });
    // Pressed instead of dragged, a kind goes after the chosen step, or to the end.
    const afterChosen = () => {
      const node = shared.node(shared.chosenKey());
      return node?.ports.length ? shared.placesAfter(node)[0].place : "end";
    };

    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && gesture) {
        event.stopPropagation();
        cancel();
      }
      if (event.key === " " && !stepwell.typing(event) && !event.target.closest?.("button:not(.nodebox__in), a, dialog, [popover]")) {
        space = true;
        canvas.classList.add("can-pan");
        event.preventDefault();
      }
    });
    document.addEventListener("keyup", (event) => {
      if (event.key !== " ") return;
      space = false;
      canvas.classList.remove("can-pan");
    });
  });
})();
