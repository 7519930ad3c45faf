// The history's page: dragging over the bars ([data-histogram]) chooses a time, Esc lets go; More closes on a press beside it.
(() => {
  const local = (moment) => {
    // As a datetime-local field has it, in the zone in which the page was made (its offset stands in data-since).
    return moment.toISOString().slice(0, 16);
  };

  stepwell.enliven("[data-histogram]", (box) => {
    const form = document.querySelector("[data-run-filters]");
    const chosen = box.querySelector("[data-chosen]");
    const offset = /([+-])(\d\d):(\d\d)$/.exec(box.dataset.since);
    const shift = offset ? (offset[1] === "-" ? -1 : 1) * (Number(offset[2]) * 60 + Number(offset[3])) * 60000 : 0;
    const since = Date.parse(box.dataset.since);
    const step = Number(box.dataset.step) * 1000;
    const count = Math.max(1, Math.round((Date.parse(box.dataset.until) - since) / step));
    let from = null;
    let to = null;

    const place = (event) => {
      const { left, width } = box.getBoundingClientRect();
      return Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * count)));
    };
    const draw = () => {
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      chosen.setAttribute("x", from === null ? 0 : (first * 720) / count);
      chosen.setAttribute("width", from === null ? 0 : ((last - first + 1) * 720) / count);
    };
    const drop = () => {
      from = to = null;
      draw();
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !form) return;
      event.preventDefault();
      box.setPointerCapture(event.pointerId);
      from = to = place(event);
      draw();
    });
    box.addEventListener("pointermove", (event) => {
      if (from === null) return;
      to = place(event);
      draw();
    });
    box.addEventListener("pointercancel", drop);
    document.addEventListener("keydown", (event) => event.key === "Escape" && from !== null && drop());
    box.addEventListener("pointerup", () => {
      if (from === null) return;
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      const moment = (n) => local(new Date(since + n * step + shift));
      form.elements.period.value = "";
      form.elements.since.value = moment(first);
      form.elements.until.value = moment(last + 1);
      from = null;
      form.requestSubmit();
    });
  });

  stepwell.enliven("[data-runmore]", (more) => {
    document.addEventListener("pointerdown", (event) => more.open && !more.contains(event.target) && more.removeAttribute("open"));
    more.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !more.open) return;
      event.stopPropagation();
      more.removeAttribute("open");
      more.querySelector("summary").focus();
    });
  });

  // --- many at once: the bar shows when something is chosen ---------------------------------------
  stepwell.enliven("[data-bulk]", (bar) => {
    const picks = () => [...document.querySelectorAll("[data-pick-run]")];
    const all = bar.querySelector("[data-bulk-all]");
    const show = () => {
      const chosen = picks().filter((pick) => pick.checked).length;
      bar.classList.toggle("is-on", chosen > 0 || Boolean(all?.checked));
      bar.querySelector("[data-bulk-count]").textContent = all?.checked ? "All that match" : `${chosen} chosen`;
      const page = document.querySelector("[data-pick-page]");
      if (page) {
        page.checked = chosen > 0 && chosen === picks().length;
        page.indeterminate = chosen > 0 && !page.checked;
      }
    };
    document.addEventListener("change", ({ target }) => {
      if (!bar.isConnected) return;
      if (target.matches("[data-pick-page]")) for (const pick of picks()) pick.checked = target.checked;
      if (target.matches("[data-pick-run], [data-pick-page], [data-bulk-all]")) show();
    });
    show();
  });

  // --- news: rows that are shown change in place, new runs wait behind a button --------------------
  stepwell.enliven("[data-history-news]", (box) => {
    const FIRST_PAUSE = 1000;
    const LONGEST_PAUSE = 30000;
    const live = document.querySelector("[data-history-live]");
    const changed = new Set();
    let pause = FIRST_PAUSE;
    let asking = false;
    let again = false;

    const ask = async () => {
      if (asking) {
        again = true;
        return;
      }
      asking = true;
      again = false;
      const shown = [...changed].filter((id) => document.getElementById(`run-${id}`));
      changed.clear();
      const query = new URLSearchParams(box.dataset.query);
      query.set("above", box.dataset.above);
      if (shown.length) query.set("changed", shown.slice(0, 30).join(","));
      try {
        const answer = await fetch(`${box.dataset.historyNews}?${query}`, { headers: { "X-Requested-With": "fetch" } });
        if (answer.ok && !answer.redirected) {
          const template = document.createElement("template");
          template.innerHTML = await answer.text();
          for (const row of template.content.querySelectorAll("tr[id]")) {
            const old = document.getElementById(row.id);
            // What a person has chosen, or stands on, stays.
            if (!old || old.contains(document.activeElement)) continue;
            const pick = row.querySelector("[data-pick-run]");
            if (pick) pick.checked = old.querySelector("[data-pick-run]")?.checked ?? false;
            old.replaceWith(row);
          }
          const button = template.content.querySelector("[data-fresh]");
          const known = box.querySelector("[data-fresh]");
          if (button && button.dataset.fresh !== known?.dataset.fresh) box.replaceChildren(button);
        }
      } catch {
        // The next change asks again.
      }
      setTimeout(() => {
        asking = false;
        if (again) ask();
      }, 1500);
    };

    const open = () => {
      if (!box.isConnected) return;
      if (document.hidden) {
        document.addEventListener("visibilitychange", open, { once: true });
        return;
      }
      const address = new URL(box.dataset.socket, location.href);
      address.protocol = address.protocol.replace("http", "ws");
      const socket = new WebSocket(address);
      let lost = pause > FIRST_PAUSE;
      socket.addEventListener("open", () => {
        pause = FIRST_PAUSE;
        if (live) live.hidden = false;
        // What happened while nobody listened.
        if (lost) {
          for (const row of document.querySelectorAll("tr[id^=run-]")) changed.add(row.id.slice(4));
          ask();
        }
        lost = false;
      });
      socket.addEventListener("message", ({ data }) => {
        for (const id of JSON.parse(data).runs ?? []) changed.add(id);
        ask();
      });
      socket.addEventListener("close", ({ code }) => {
        if (live) live.hidden = true;
        if (code === 4403 || code === 4404) return;
        pause = Math.min(pause * 2, LONGEST_PAUSE);
        setTimeout(open, pause);
      });
    };
    setTimeout(open, 600);
  });
})();
