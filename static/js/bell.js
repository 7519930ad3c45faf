// The bell: [data-bell] follows the number of unread notifications over a socket; its menu is read when it opens.
(() => {
  const FIRST_PAUSE = 2000;
  const LONGEST_PAUSE = 60000;
  const START_AFTER = 1200;

  const show = (unread) => {
    for (const count of document.querySelectorAll("[data-bell-count]")) {
      const words = unread > 99 ? "99+" : String(unread);
      count.hidden = unread === 0;
      const shown = count.querySelector("b");
      if (shown) shown.textContent = words;
    }
    for (const bell of document.querySelectorAll("[data-bell]"))
      bell.setAttribute("aria-label", unread ? `Notifications, ${unread} not read` : "Notifications");
  };

  const token = () => JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}")["X-CSRFToken"] ?? "";
  const read = async (url, body) => {
    const answer = await fetch(url, { method: "POST", body, keepalive: true, headers: { "X-CSRFToken": token(), Accept: "application/json" } });
    if (answer.ok) show((await answer.json()).unread);
  };

  stepwell.enliven("[data-bell]", (bell) => {
    let pause = FIRST_PAUSE;
    let known = null;
    const open = () => {
      if (document.hidden) {
        document.addEventListener("visibilitychange", open, { once: true });
        return;
      }
      const address = new URL(bell.dataset.bell, location.href);
      address.protocol = address.protocol.replace("http", "ws");
      const socket = new WebSocket(address);
      socket.addEventListener("message", ({ data }) => {
        pause = FIRST_PAUSE;
        const { unread } = JSON.parse(data);
        if (known !== null && unread > known) stepwell.announce(unread === 1 ? "One notification is not read" : `${unread} notifications are not read`);
        known = unread;
        show(unread);
      });
      socket.addEventListener("close", ({ code }) => {
        // Shown out: the next page says why.
        if (code === 4403 || code === 4404) return;
        setTimeout(open, pause + Math.random() * 500);
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      });
    };
    // The page itself comes first.
    setTimeout(open, START_AFTER);
  });

  stepwell.enliven("[data-bell-latest]", (box) => {
    const menu = box.closest("[popover]");
    menu?.addEventListener("toggle", async (event) => {
      if (event.newState !== "open") return;
      box.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch(box.dataset.bellLatest, { headers: { "X-Requested-With": "fetch" } });
        if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
        const template = document.createElement("template");
        template.innerHTML = await answer.text();
        box.replaceChildren(template.content);
      } catch {
        box.textContent = "The list could not be read. Open all notifications instead.";
      } finally {
        box.removeAttribute("aria-busy");
        // It has grown: it is placed anew beside its button.
        dispatchEvent(new Event("resize"));
      }
    });
  });

  // Whoever follows one has read it; the link itself goes on as it is.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-read]");
    if (!link) return;
    const body = new FormData();
    body.set("id", link.dataset.read);
    read(link.dataset.readUrl, body).catch(() => {});
  });
})();
