// Times that move: <time data-ago> counts minutes for an hour, then shows its clock; [data-clock-since] counts up in words.
(() => {
  const ago = (time) => {
    const minutes = Math.floor((Date.now() - Date.parse(time.dateTime)) / 60000);
    if (minutes >= 60) {
      time.textContent = time.dataset.clock;
      time.removeAttribute("data-ago");
    } else {
      const words = minutes > 0 ? `${minutes} min ago` : "just now";
      if (time.textContent !== words) time.textContent = words;
    }
  };
  // The same words as the tag {% duration %}, whole seconds while it counts.
  stepwell.durationWords = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    const two = (n) => String(n).padStart(2, "0");
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
  };
  const since = (element) => {
    const words = stepwell.durationWords(Date.now() - Date.parse(element.dataset.clockSince));
    if (element.textContent !== words) element.textContent = words;
  };
  const tick = () => {
    if (document.hidden) return;
    document.querySelectorAll("time[data-ago]").forEach(ago);
    document.querySelectorAll("[data-clock-since]").forEach(since);
  };
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);
})();
