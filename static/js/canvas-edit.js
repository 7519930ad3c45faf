// What the canvas does with the draft: choosing a step, posting one operation for each gesture, the picker at a place,
// connecting by name, the buttons of a path. The answer brings the drawing anew; a refusal is said in its own words.
(() => {
  stepwell.enliven("[data-canvas]", (canvas) => {
    const shared = stepwell.canvas;
    const { base, world, editable } = shared;
    const panel = () => document.getElementById("panel");
    const chosenKey = () => panel().querySelector("[data-open]")?.dataset.open ?? "";

    document.addEventListener("htmx:config:request", (event) => {
      event.detail.ctx.request.headers["Stepwell-View"] = "canvas";
      event.detail.ctx.request.headers["Stepwell-Open"] = chosenKey();
    });

    // One after the other: htmx drops what is sent while another waits, and no gesture may be lost.
    let last = Promise.resolve();
    const post = (path, values = {}) => {
      const mine = last.then(() => send(path, values));
      last = mine.catch(() => {});
      return mine;
    };
    const send = async (path, values) => {
      await stepwell.flush();
      const form = document.getElementById("canvas-form");
      let status = 0;
      const done = (event) => {
        if (event.detail.ctx.sourceElement === form) status = event.detail.ctx.response?.status ?? 0;
      };
      document.addEventListener("htmx:finally:request", done);
      try {
        await htmx.ajax("POST", `${base}${path}`, { source: form, values, swap: "none" });
      } catch {
        // Said as a toast by what watches all requests.
      } finally {
        document.removeEventListener("htmx:finally:request", done);
      }
      // What was refused stands again where the server has it.
      if (status < 200 || status >= 300) shared.refresh();
      return status >= 200 && status < 300;
    };

    // --- choosing ---
    const chosen = new Set();
    const bar = document.getElementById("chosen");
    const mark = () => {
      for (const node of shared.nodes()) node.element.classList.toggle("is-selected", chosen.has(node.key) || (!chosen.size && node.key === chosenKey()));
      if (bar) {
        bar.hidden = chosen.size < 2;
        bar.querySelector("[data-chosen-count]").textContent = `${chosen.size} steps`;
      }
      shared.drawMap();
    };
    const address = (key) => {
      const url = new URL(location.href);
      if (key) url.searchParams.set("open", key);
      else url.searchParams.delete("open");
      history.replaceState(history.state, "", url);
    };
    let loading = null;
    const load = async (key) => {
      const mine = Symbol(key);
      loading = mine;
      await stepwell.flush();
      if (loading !== mine) return;
      await htmx.ajax("GET", `${base}canvas/panel/?open=${encodeURIComponent(key)}`, { source: canvas, target: "#panel", swap: "none" });
      address(chosenKey());
      mark();
    };
    const choose = async (key, { sheet = true, from = null } = {}) => {
      chosen.clear();
      for (const node of shared.nodes()) node.element.classList.toggle("is-selected", node.key === key);
      unwire();
      if (chosenKey() !== key) await load(key);
      mark();
      if (key && sheet) stepwell.openPanel(from ?? shared.node(key)?.element.querySelector(".nodebox__in"));
      if (key) shared.reveal(key);
    };
    const unchoose = async () => {
      chosen.clear();
      unwire();
      if (chosenKey()) await load("");
      document.querySelector("[data-bench]").classList.add("is-wide");
      mark();
    };
    const setChosen = (keys) => {
      chosen.clear();
      for (const key of keys) chosen.add(key);
      mark();
    };
    document.addEventListener("click", (event) => {
      if (event.target.closest("[data-canvas-close]")) {
        const key = chosenKey();
        stepwell.closePanel();
        unchoose().then(() => shared.focus?.(key));
      }
      const show = event.target.closest("[data-open-card]");
      if (show) {
        event.preventDefault();
        const { openCard: key, openField: field } = show.dataset;
        choose(shared.node(key) ? key : "start").then(() => {
          const found = field ? panel().querySelector(`[data-field="${CSS.escape(field.split(/[.[]/)[0])}"]`) : null;
          found?.closest("details")?.setAttribute("open", "");
          (found?.matches("input") ? found : found?.querySelector("textarea, input:not([type=hidden]), select"))?.focus();
        });
      }
      if (event.target.closest("[data-close-cards]")) choose("").then(() => document.querySelector("[data-bench]").classList.remove("is-wide"));
    });
    bar?.addEventListener("click", (event) => {
      const act = event.target.closest("[data-several]")?.dataset.several;
      if (!act) return;
      post("canvas/several/", { act, keys: JSON.stringify([...chosen]) }).then((ok) => ok && act === "remove" && setChosen([]));
    });

    // --- what follows an answer ---
    const isEmpty = () => !shared.nodes().some((node) => !node.isStart && node.key !== "start");
    let wasEmpty = isEmpty();
    document.addEventListener("builder:changed", (event) => {
      const { focus, key } = event.detail;
      document.querySelector("#dialogs dialog[open]")?.close();
      document.querySelector("#connect[open]")?.close();
      const picker = document.getElementById("picker");
      if (picker?.matches(":popover-open")) picker.hidePopover();
      for (const one of [...chosen]) if (!document.getElementById(`node-${one}`)) chosen.delete(one);
      address(chosenKey());
      requestAnimationFrame(() => {
        shared.refresh();
        mark();
        const first = wasEmpty && !isEmpty();
        wasEmpty = isEmpty();
        if (!key || key !== chosenKey()) return;
        if (!shared.phone.matches) stepwell.openPanel(shared.node(key)?.element.querySelector(".nodebox__in"));
        // The first step moves the start up: both are brought into view.
        if (first) shared.fit(0.8, 0.9);
        else shared.reveal(key);
        if (shared.phone.matches) return;
        const toFill =
          panel().querySelector("[data-to-fill] textarea, [data-to-fill] input:not([type=hidden]), [data-to-fill] select") ??
          panel().querySelector(".step__body textarea, .step__body select, .step__body input:not([type=hidden])");
        if (focus === "first") toFill?.focus({ preventScroll: true });
        else if (focus === "name") panel().querySelector("[data-field=label]")?.select();
        else shared.focus?.(key);
      });
    });
    document.addEventListener("builder:refused", () => {
      const box = panel().querySelector(".insp__head [role=switch]");
      if (box) box.checked = !shared.node(chosenKey())?.element.classList.contains("is-off");
      shared.refresh();
    });
    canvas.addEventListener("canvas:drawn", () => {
      if (wired && !shared.wire(wired)) unwire();
      else if (wired) showTools(wired);
    });

    // --- the picker, at a place of the canvas ---
    const hidden = (form, name) => {
      const found = form.querySelector(`[name=${name}]`) ?? form.appendChild(Object.assign(document.createElement("input"), { type: "hidden", name }));
      return found;
    };
    const anchor = document.createElement("span");
    anchor.className = "pickat";
    canvas.append(anchor);
    // `spot`: where the step shall stand (its top left corner); without it the server finds a free place.
    const pick = (choices, { at, spot = null, from = null }) => {
      const form = document.querySelector("#picker form");
      hidden(form, "x").value = spot ? spot[0] : "";
      hidden(form, "y").value = spot ? spot[1] : "";
      const { left, top } = canvas.getBoundingClientRect();
      anchor.style.transform = `translate(${at[0] - left}px, ${at[1] - top}px)`;
      anchor.focus = () => (from ?? canvas).focus?.({ preventScroll: true });
      stepwell.pick(anchor, choices);
    };
    const addStep = (from) => {
      const key = chosenKey();
      const node = shared.node(key);
      const { left, top, right } = from.getBoundingClientRect();
      const at = [Math.min(left, right), top];
      if (node && node.key !== "start" && node.ports.length) return pick(placesAfter(node), { at, from });
      pick([{ place: node?.key === "start" ? "root" : "end", label: "at the end" }], { at, from });
    };
    const placesAfter = (node) => {
      if (node.key === "start") return [{ place: "root", label: "after the start" }];
      return node.ports.map(({ name, label }) => {
        const on = shared.wires().find((one) => one.source === node.key && one.port === name);
        const words = `${label ? `on ${label}, ` : ""}after ${node.label}`;
        return { place: on?.id ? `edge:${on.id}` : `after:${node.key}:${name}`, label: words };
      });
    };
    document.addEventListener("click", (event) => {
      const from = event.target.closest("[data-add-step]");
      if (from) addStep(from);
    });

    // --- the buttons of a path ---
    const tools = document.getElementById("wiretools");
    let wired = "";
    const unwire = () => {
      wired = "";
      for (const group of world.querySelectorAll(".wire.is-selected")) group.classList.remove("is-selected");
      if (!tools) return;
      tools.hidden = true;
      for (const end of canvas.querySelectorAll("[data-wire-end]")) end.hidden = true;
    };
    const showTools = (id) => {
      const one = shared.wire(id);
      if (!one || !tools) return;
      for (const group of world.querySelectorAll(".wire.is-selected")) group.classList.remove("is-selected");
      wired = id;
      one.group.classList.add("is-selected");
      const line = one.group.children[1];
      const middle = line.getPointAtLength(line.getTotalLength() / 2);
      const put = (element, [x, y]) => {
        const [left, top] = shared.toScreen(x, y);
        const box = canvas.getBoundingClientRect();
        element.style.transform = `translate(${left - box.left}px, ${top - box.top}px) translate(-50%, -50%)`;
        element.hidden = false;
      };
      put(tools, [middle.x, middle.y]);
      tools.setAttribute("aria-label", `Path between ${one.words}`);
      tools.querySelector("[data-wire-add]").setAttribute("aria-label", `Add a step between ${one.words}`);
      tools.querySelector("[data-wire-remove]").setAttribute("aria-label", `Remove the path between ${one.words}`);
      const [from, to] = [shared.outPoint(shared.node(one.source), one.port), shared.inPoint(shared.node(one.target))];
      put(canvas.querySelector("[data-wire-end=source]"), [from[0], from[1] + 9]);
      put(canvas.querySelector("[data-wire-end=target]"), [to[0], to[1] - 12]);
    };
    canvas.addEventListener("canvas:seen", () => wired && showTools(wired));
    tools?.addEventListener("click", (event) => {
      const one = shared.wire(wired);
      if (!one) return;
      const { left, bottom } = tools.getBoundingClientRect();
      if (event.target.closest("[data-wire-add]")) pick([{ place: `edge:${one.id}`, label: `between ${one.words}` }], { at: [left, bottom], from: tools.querySelector("button") });
      else if (event.target.closest("[data-wire-remove]")) post(`paths/${encodeURIComponent(one.id)}/`, { remove: "1" }).then((ok) => ok && unwire());
    });

    // --- connecting by name ---
    const dialog = document.getElementById("connect");
    const before = (key) => {
      const found = new Set([key]);
      const todo = [key];
      while (todo.length) {
        const at = todo.pop();
        for (const one of shared.wires()) if (one.target === at && !found.has(one.source)) found.add(one.source) && todo.push(one.source);
      }
      return found;
    };
    // Whether a path from this port to that node would be taken; the server has the last word.
    const accepts = (source, port, target, { moving = "" } = {}) =>
      !target.isStart &&
      target.parent === source.parent &&
      !before(source.key).has(target.key) &&
      !shared.wires().some((one) => one.source === source.key && one.port === port && one.target === target.key && one.id !== moving);
    const candidates = () => {
      const source = shared.node(dialog.querySelector("[name=source]").value);
      const port = dialog.querySelector("[name=port]").value || source.ports[0]?.name;
      return shared.nodes().filter((node) => node.key !== "start" && accepts(source, port, node));
    };
    const list = () => {
      const words = dialog.querySelector("[data-connect-search]").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      const found = candidates().filter((node) => words.every((word) => node.label.toLowerCase().includes(word)));
      dialog.querySelector("[data-connect-list]").replaceChildren(
        ...found.slice(0, 30).map((node) => {
          const button = Object.assign(document.createElement("button"), { name: "target", value: node.key, className: "menu__item" });
          button.append(node.element.querySelector(".tile").cloneNode(true), node.branch ? `${node.label}, ${node.branch}` : node.label);
          return button;
        }),
      );
      dialog.querySelector("[data-connect-none]").hidden = found.length > 0;
    };
    const connect = (key) => {
      const node = shared.node(key);
      if (!editable || !node?.ports.length || key === "start") return;
      dialog.querySelector("h2").textContent = `Connect ${node.label} to…`;
      dialog.querySelector("[name=source]").value = key;
      const ports = dialog.querySelector("[name=port]");
      ports.replaceChildren(...node.ports.map(({ name, label }) => new Option(label || "Next", name)));
      dialog.querySelector("[data-connect-ports]").hidden = node.ports.length < 2;
      dialog.querySelector("[data-connect-search]").value = "";
      list();
      dialog.showModal();
      dialog.querySelector("[data-connect-search]").focus();
    };
    if (dialog) {
      dialog.addEventListener("input", list);
      dialog.addEventListener("close", () => shared.focus?.(dialog.querySelector("[name=source]").value));
      dialog.addEventListener("keydown", (event) => {
        const items = [...dialog.querySelectorAll("[data-connect-list] button")];
        if (event.key === "Enter" && event.target.matches("[data-connect-search]")) {
          event.preventDefault();
          items[0]?.click();
        } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
          if (event.target.matches("select")) return;
          event.preventDefault();
          const to = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
          if (to < 0) dialog.querySelector("[data-connect-search]").focus();
          else items[Math.min(to, items.length - 1)]?.focus();
        }
      });
    }
    document.addEventListener("click", (event) => {
      const from = event.target.closest("[data-connect]");
      if (from) connect(from.dataset.connect);
    });

    const removeStep = (key) => {
      const node = shared.node(key);
      if (!editable || !node || key === "start") return;
      stepwell.flush().then(() => htmx.ajax("GET", `${base}steps/${encodeURIComponent(key)}/delete/`, { source: canvas, target: "#dialogs", swap: "innerHTML settle:0" }));
    };

    Object.assign(shared, { remark: mark, post, choose, unchoose, chosen, setChosen, chosenKey, pick, placesAfter, showTools, unwire, accepts, connect, removeStep, wired: () => wired });
    mark();
  });
})();
