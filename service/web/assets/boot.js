// Runs before anything is drawn: the theme that was chosen last, and a mark that scripts run, so that the plain page does not flash up.
{
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's theme does then.
  }
  root.classList.add("scripted");
  // Where the modules cannot be had, the plain page comes back.
  addEventListener("error", (event) => event.target instanceof HTMLScriptElement && root.classList.remove("scripted"), true);
}
