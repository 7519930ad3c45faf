// Moving a card: by its handle (SortableJS; long press on touch), or by keys: Space lifts, arrows go from gap to gap, Space drops.
// The list itself is not reordered here: the place is sent, and the server answers the whole list.
(() => {
  const list = () => document.getElementById("steps");
  const cardOf = (key) => document.getElementById(`step-${key}`);
  // A list is the workflow's own or that of a container; positions are said within it.
  const flowOf = (element) => element.closest("[data-flow]");
  const rowsOf = (flow) => [...flow.querySelectorAll(":scope > [data-step]")];
  const allRows = () => [...document.querySelectorAll("#steps [data-step]")];
  // The start counts as the first step where it is one.
  const first = (flow) => Number(flow.dataset.startCounts ?? 0) + 1;
  const inWords = (flow) => (flow.dataset.inName ? ` in ${flow.dataset.inName}` : "");
  // Every place to drop: not in a folded list, nor inside what is lifted.
  const gaps = (key) => [...document.querySelectorAll("#steps [data-gap]")].filter((gap) => !gap.closest("details.nest:not([open])") && !cardOf(key)?.contains(gap));
  let lifted = null; // {key, gap, lane, by: "keys" | "pointer"}

  stepwell.moveCard = async (key, place) => {
    await stepwell.flush();
    await htmx.ajax("POST", `${location.pathname}steps/${encodeURIComponent(key)}/move/`, { source: list(), target: "#steps", swap: "none", values: place });
  };

  const above = (gap) => allRows().filter((row) => gap.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_PRECEDING);
  // Gaps beside the card itself are where it stands already.
  const isHome = (gap, key) => gap.dataset.before === key && !gap.dataset.place;

  // Why a place would break what the texts of steps refer to.
  const reason = (gap, key) => {
    const card = cardOf(key);
    const before = new Set(above(gap).map((row) => row.dataset.step));
    const user = card.dataset.usedBy.split(" ").find((other) => other && before.has(other) && cardOf(other));
    if (user) return `${cardOf(user).dataset.name} uses this, so it must stay above`;
    const used = card.dataset.uses.split(" ").find((other) => other && other !== key && cardOf(other) && !before.has(other));
    return used ? `This uses ${cardOf(used).dataset.name}, so it must stay below` : "";
  };
  const lanesOf = (gap, key) => JSON.parse(gap.dataset.lanesHere || "[]").filter((lane) => lane.source !== key && lane.target !== key);
  const wordsOf = ({ key, gap, lane }) => {
    const flow = flowOf(gap);
    const here = rowsOf(flow).filter((row) => row.dataset.step !== key);
    const others = here.filter((row) => gap.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_PRECEDING).length;
    const total = here.length + first(flow);
    const where = lane ? lane.words : gap.dataset.words;
    const why = reason(gap, key);
    return `${cardOf(key).dataset.name}, position ${others + first(flow)} of ${total}${inWords(flow)}, ${where}${why ? `. ${why}` : ""}`;
  };

  const mark = () => {
    for (const gap of document.querySelectorAll(".gap.is-target")) {
      gap.classList.remove("is-target", "is-doubtful");
      delete gap.dataset.drop;
    }
    if (!lifted?.gap || isHome(lifted.gap, lifted.key)) return;
    const why = reason(lifted.gap, lifted.key);
    lifted.gap.classList.add("is-target");
    lifted.gap.classList.toggle("is-doubtful", Boolean(why));
    lifted.gap.dataset.drop = why || (lifted.lane ? lifted.lane.words : lifted.gap.dataset.words);
  };
  const end = () => {
    cardOf(lifted?.key)?.classList.remove("is-dragging", "is-lifted");
    list()?.classList.remove("is-moving");
    lifted = null;
    mark();
  };
  const drop = () => {
    const { key, gap, lane } = lifted;
    end();
    if (!gap || isHome(gap, key)) return;
    const place = lane?.place ?? gap.dataset.place;
    stepwell.moveCard(key, place ? { place } : { before: gap.dataset.before });
  };

  // --- by pointer ---
  const point = (event) => event.changedTouches?.[0] ?? event.touches?.[0] ?? event;
  const aim = (event) => {
    if (lifted?.by !== "pointer") return;
    const { clientX, clientY } = point(event);
    let best = null;
    let distance = Infinity;
    for (const gap of gaps(lifted.key)) {
      const box = gap.getBoundingClientRect();
      const away = Math.abs(clientY - (box.top + box.height / 2));
      if (away < distance) [best, distance] = [gap, away];
    }
    lifted.gap = best;
    lifted.lane = null;
    // Over the rail the horizontal position chooses among the paths that pass.
    const rail = best?.querySelector(".railcell")?.getBoundingClientRect();
    const lanes = best ? lanesOf(best, lifted.key) : [];
    if (rail && lanes.length > 1 && clientX < rail.right) {
      const column = (clientX - rail.left - 10) / 14;
      lifted.lane = lanes.reduce((near, lane) => (Math.abs(lane.column - column) < Math.abs(near.column - column) ? lane : near));
    }
    mark();
  };
  const begin = () => {
    document.addEventListener("pointermove", aim);
    document.addEventListener("touchmove", aim, { passive: true });
  };
  const stop = () => {
    document.removeEventListener("pointermove", aim);
    document.removeEventListener("touchmove", aim);
  };
  const sortable = (flow) =>
    new Sortable(flow, {
      group: "steps",
      draggable: "[data-step]",
      handle: ".step__head",
      // A mouse takes the handle; a finger may rest anywhere on the head but its controls.
      filter: (event) => {
        const mouse = event.pointerType === "mouse" || event.type === "mousedown";
        return mouse ? !event.target.closest(".grip") : Boolean(event.target.closest(".step__acts, input"));
      },
      preventOnFilter: false,
      delay: 250,
      delayOnTouchOnly: true,
      touchStartThreshold: 6,
      forceFallback: true,
      fallbackOnBody: true,
      fallbackTolerance: 5,
      fallbackClass: "step-lifted",
      ghostClass: "step-slot",
      scrollSensitivity: 80,
      onMove: () => false,
      onStart: ({ item }) => {
        lifted = { key: item.dataset.step, gap: null, lane: null, by: "pointer" };
        list().classList.add("is-moving");
        begin();
      },
      onEnd: ({ originalEvent }) => {
        stop();
        if (!lifted) return;
        if (originalEvent && originalEvent.type !== "pointercancel" && originalEvent.type !== "touchcancel") {
          aim(originalEvent);
          drop();
        } else end();
      },
    });
  stepwell.enliven("[data-editable] [data-flow]", sortable);
  document.addEventListener("contextmenu", (event) => {
    if (event.pointerType === "touch" && event.target.closest?.("#steps .step__head")) event.preventDefault();
  });

  // --- by keys ---
  const go = (to) => {
    // Up and down stay in the list; sideways leads across.
    const flow = flowOf(lifted.gap ?? document.getElementById(`row-${lifted.key}`));
    const all = gaps(lifted.key).filter((gap) => flowOf(gap) === flow && !isHome(gap, lifted.key));
    const now = all.indexOf(lifted.gap);
    aimAt(to(all, now));
  };
  const aimAt = (gap) => {
    if (!gap) return;
    lifted.gap = gap;
    lifted.lane = null;
    mark();
    gap.scrollIntoView({ block: "nearest" });
    stepwell.announce(wordsOf(lifted), { instead: true });
  };
  // The gaps below and above the card, where a first press goes.
  const neighbour = (all, key, down) => {
    const row = document.getElementById(`row-${key}`);
    const side = down ? Node.DOCUMENT_POSITION_FOLLOWING : Node.DOCUMENT_POSITION_PRECEDING;
    const found = all.filter((gap) => row.compareDocumentPosition(gap) & side);
    // The gap right below the card is where it stands.
    return down ? (found[1] ?? found[0]) : found.at(-1);
  };
  document.addEventListener("keydown", (event) => {
    const grip = event.target.closest?.("#steps .grip");
    if (lifted?.by === "pointer" && event.key === "Escape") {
      lifted.gap = null;
      stop();
      mark();
      return;
    }
    if (!grip) return;
    const key = grip.closest("[data-card]").dataset.card;
    if (!lifted) {
      if (event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      lifted = { key, gap: null, lane: null, by: "keys" };
      cardOf(key).classList.add("is-lifted");
      list().classList.add("is-moving");
      grip.focus();
      const flow = flowOf(grip);
      const at = rowsOf(flow).findIndex((row) => row.dataset.step === key) + first(flow);
      const across = document.querySelector("#steps [data-nest]") ? " Right goes into a container, left out of it." : "";
      stepwell.announce(
        `${cardOf(key).dataset.name} lifted, position ${at} of ${rowsOf(flow).length + first(flow) - 1}${inWords(flow)}. Arrows move, space drops, escape puts it back.${across}`,
      );
      return;
    }
    if (event.key === "Tab") return event.preventDefault();
    const moves = {
      ArrowDown: () => go((all, now) => (now < 0 ? neighbour(all, key, true) : all[now + 1])),
      ArrowUp: () => go((all, now) => (now < 0 ? neighbour(all, key, false) : all[now - 1])),
      Home: () => go((all) => all[0]),
      End: () => go((all) => all.at(-1)),
      ArrowRight: () => side(1),
      ArrowLeft: () => side(-1),
      " ": () => {
        if (lifted.gap) drop();
        else putBack();
      },
      Escape: () => putBack(),
    };
    const act = moves[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
  const side = (by) => {
    const lanes = [null, ...(lifted.gap ? lanesOf(lifted.gap, lifted.key) : [])];
    const now = lifted.lane ? lanes.findIndex((lane) => lane?.place === lifted.lane.place) : 0;
    if (now + by < 0) return aimAt(outside());
    if (now + by >= lanes.length) return aimAt(inside());
    lifted.lane = lanes[now + by];
    mark();
    stepwell.announce(wordsOf(lifted), { instead: true });
  };
  // The end of the list that holds it, and that of the container beside it: the one below before the one above.
  const outside = () => {
    const around = flowOf(lifted.gap ?? cardOf(lifted.key)).closest("[data-step]");
    if (!around) return null;
    const all = gaps(lifted.key).filter((gap) => flowOf(gap) === flowOf(around));
    return all.find((gap) => around.compareDocumentPosition(gap) === Node.DOCUMENT_POSITION_FOLLOWING);
  };
  const inside = () => {
    const from = lifted.gap ?? document.getElementById(`row-${lifted.key}`);
    const beside = rowsOf(flowOf(from)).filter((row) => row.dataset.step !== lifted.key);
    const below = beside.filter((row) => from.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING);
    const over = beside.filter((row) => !below.includes(row)).reverse();
    const container = [...below, ...over].map((row) => row.querySelector(":scope > .step > details[data-nest]")).find(Boolean);
    if (!container) return null;
    container.open = true;
    const list = container.querySelector("[data-flow]");
    // From above one comes in at its top, from below at its end.
    const places = gaps(lifted.key).filter((gap) => flowOf(gap) === list && !isHome(gap, lifted.key));
    return below.includes(container.closest("[data-step]")) ? places[0] : places.at(-1);
  };
  const putBack = () => {
    const name = cardOf(lifted.key).dataset.name;
    end();
    stepwell.announce(`${name} is back in its place.`, { instead: true });
  };
  // Another place gets the focus: what was lifted goes back.
  document.addEventListener("focusout", (event) => {
    if (lifted?.by === "keys" && event.target.matches?.(".grip") && event.relatedTarget && !event.relatedTarget.matches(".grip")) putBack();
  });
})();
