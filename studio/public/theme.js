// Before the first paint, so that a dark page never flashes light. A file, because the policy allows no inline script.
(function () {
  var wanted = null;
  try {
    wanted = localStorage.getItem("openmesh-theme");
  } catch {
    // Storage may be forbidden; then the system decides.
  }
  var dark = wanted === "dark" || (wanted !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
