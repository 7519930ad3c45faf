// A run on the canvas: the picker chooses it, its socket is that of the run page, each step carries its state, paths say
// whether they were taken. Nothing is read twice: states are taken from the rows that the socket sends.
(() => {
  const LONGEST_PAUSE = 10000;
  stepwell.enliven("[data-canvas-run]", (picker) => {
    const { canvas } = stepwell.canvas;
    const states = new Map(); // step key -> { shape, mark }
    let socket = null;
    let pause = 500;
    let wanted = "";

    const template = document.createElement("template");
    const read = (html) => {
      template.innerHTML = html;
      for (const row of template.content.querySelectorAll("[data-row]")) {
        const shape = row.querySelector(".runstep")?.dataset.s;
        const mark = row.querySelector(".railcell .st");
        if (shape) states.set(row.dataset.row, { shape, mark: mark?.cloneNode(true), said: row.querySelector(".fan .fan__top b")?.textContent ?? "" });
        // The steps in a container: one state for all its items, with how far they are.
        for (const step of row.querySelectorAll("[data-inside]")) {
          const far = step.querySelector(":scope > .runinside__far");
          if (!far) states.delete(step.dataset.inside);
          else states.set(step.dataset.inside, { shape: far.querySelector(".st").dataset.s, mark: far.querySelector(".st").cloneNode(true), said: far.querySelector(".num").textContent, inside: true });
        }
      }
    };
    const readAll = (value) => {
      if (typeof value === "string") value.includes("data-row") && read(value);
      else if (value && typeof value === "object") Object.values(value).forEach(readAll);
    };
    const draw = () => {
      canvas.toggleAttribute("data-running", Boolean(wanted));
      for (const node of stepwell.canvas.nodes()) {
        const state = wanted ? states.get(node.key) : null;
        if (state) node.element.dataset.s = state.shape;
        else delete node.element.dataset.s;
        const slot = node.element.querySelector("[data-state]");
        const shown = state ? `${state.shape} ${state.said}` : "";
        if (slot && slot.dataset.shown !== shown) {
          slot.dataset.shown = shown;
          const said = state?.said ? [Object.assign(document.createElement("span"), { className: "num", textContent: state.said.split(",")[0], title: state.said })] : [];
          slot.replaceChildren(...said, ...(state?.mark ? [state.mark.cloneNode(true)] : []));
        }
      }
      const begun = (key) => !(states.get(key)?.inside ? ["skip"] : ["queued", "wait", "skip", "cancel", undefined]).includes(states.get(key)?.shape);
      for (const wire of stepwell.canvas.wires()) {
        // In a container the first items are further than the last: a path is taken when one item went along it.
        const from = states.get(wire.source);
        const left = wire.source === "start" || ["done", "retry"].includes(from?.shape) || (from?.inside && begun(wire.source));
        const taken = left && begun(wire.target);
        wire.group.classList.toggle("is-taken", Boolean(wanted) && taken);
        wire.group.classList.toggle("is-untaken", Boolean(wanted) && !taken);
      }
    };
    canvas.addEventListener("canvas:drawn", draw);

    const open = () => {
      const mine = wanted;
      if (!mine) return;
      const address = new URL(`/ws/runs/${mine}/`, location.href);
      address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      // No page was printed with a state: the first message brings every row.
      address.searchParams.set("stamp", "");
      socket = new WebSocket(address);
      socket.addEventListener("open", () => (pause = 500));
      socket.addEventListener("message", (event) => {
        if (mine !== wanted) return;
        const message = JSON.parse(event.data);
        if (message.type !== "parts") return;
        readAll(message.parts);
        draw();
      });
      socket.addEventListener("close", (event) => {
        if (mine !== wanted || event.code === 4403 || event.code === 4404) return;
        setTimeout(() => mine === wanted && open(), pause * (0.75 + Math.random() / 2));
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      });
    };
    const choose = (id) => {
      wanted = id;
      socket?.close();
      states.clear();
      draw();
      open();
      const url = new URL(location.href);
      if (id) url.searchParams.set("run", id);
      else url.searchParams.delete("run");
      history.replaceState(history.state, "", url);
    };
    picker.addEventListener("change", () => choose(picker.value));
    const asked = new URL(location.href).searchParams.get("run") ?? "";
    const going = picker.querySelector("option[data-going]")?.value ?? "";
    if (asked || going) {
      if ([...picker.options].some((option) => option.value === (asked || going))) picker.value = asked || going;
      choose(picker.value);
    }
  });
})();
