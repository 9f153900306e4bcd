// Light and dark: the system's choice until the user makes one, which is kept.

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

/** Changes over; what the system says anyway is not kept. Gives the theme's name. */
export function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  const isSystems = (theme === "dark") === system.matches;
  if (isSystems) delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (isSystems) localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  return theme;
}
