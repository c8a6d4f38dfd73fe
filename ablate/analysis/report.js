"use strict";
// What a reader can do with the page; without it the page says the same. It keeps nothing anywhere, since
// a page that MLflow shows in its own may not.
(() => {
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const button = (text, attributes, act) => {
    const element = make("button", { type: "button", ...attributes }, text);
    element.addEventListener("click", () => act(element));
    return element;
  };

  // Light and dark: the system's, until the reader says otherwise.

  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const theme = button("", { class: "theme" }, () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  const name = () => { theme.textContent = isDark() ? "Light mode" : "Dark mode"; };
  system.addEventListener("change", name);
  name();
  document.querySelector("nav").append(theme);

  // Links within the page. In a frame without an address of its own they would lead to MLflow's page.

  const show = (anchor) => {
    const target = anchor && document.getElementById(anchor);
    if (!target) return false;
    if (target.tagName === "DETAILS") target.open = true;
    target.scrollIntoView();
    const focus = target.querySelector("summary, h2") ?? target;
    if (focus.tagName !== "SUMMARY") focus.tabIndex = -1;
    focus.focus({ preventScroll: true });
    return true;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && show(link.getAttribute("href").slice(1))) event.preventDefault();
  });
  show(location.hash.slice(1));

  // Tables of conditions: sort by a column, filter by words, pin rows to the top, choose metrics.

  // The best score first, be it the largest or the smallest, and names from A; then the other way round, then as planned.
  const OPPOSITE = { ascending: "descending", descending: "ascending" };
  const following = (order, first) => (order === "none" ? first : order === first ? OPPOSITE[first] : "none");

  const enable = (table) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    let key = null;
    let order = "none";
    const valueOf = (row) => {
      const cell = row.cells[key];
      if (key === 0) return cell.dataset.name;
      return cell.dataset.value ? Number(cell.dataset.value) : null;
    };
    const compare = (a, b) => {
      const pins = b.classList.contains("pinned") - a.classList.contains("pinned");
      const [one, other] = order === "none" || pins ? [0, 0] : [valueOf(a), valueOf(b)];
      if (one === null || other === null) return (one === null) - (other === null);
      const sign = order === "ascending" ? 1 : -1;
      const difference = typeof one === "string" ? one.localeCompare(other) : one - other;
      return pins || sign * difference || rows.indexOf(a) - rows.indexOf(b);
    };
    const arrange = () => body.append(...[...rows].sort(compare));

    const headers = [...table.querySelectorAll("th[data-column]")];
    for (const header of headers) {
      header.setAttribute("aria-sort", "none");
      const text = header.textContent;
      const sort = button(text, { class: "sort", "aria-label": header.dataset.label ?? text }, () => {
        order = following(header.getAttribute("aria-sort"), header.dataset.first);
        key = Number(header.dataset.column);
        for (const each of headers) each.setAttribute("aria-sort", each === header ? order : "none");
        arrange();
      });
      header.replaceChildren(sort);
    }

    table.classList.add("pinnable");
    for (const row of rows) {
      const label = { class: "pin", "aria-pressed": "false", "aria-label": `Pin ${row.cells[0].dataset.name}` };
      row.cells[0].prepend(button("☆", label, (pin) => {
        const pinned = row.classList.toggle("pinned");
        pin.setAttribute("aria-pressed", pinned);
        pin.textContent = pinned ? "★" : "☆";
        arrange();
        pin.focus();
      }));
    }

    const shown = make("span", { role: "status", class: "muted" });
    const words = make("input", { type: "search", placeholder: "name, or factor = level", size: 22 });
    words.addEventListener("input", () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const fits = (row) => wanted.every((word) => row.dataset.words.toLowerCase().includes(word));
      for (const row of rows) row.hidden = !(fits(row) || row.classList.contains("pinned"));
      const left = rows.filter((row) => !row.hidden).length;
      shown.textContent = wanted.length ? `${left} of ${rows.length}` : "";
    });
    const tools = make("div", { class: "tools" }, make("label", {}, "Filter ", words), shown);

    const metrics = [...table.querySelectorAll("th[data-metric]")];
    if (metrics.length > 1) {
      const choices = metrics.map((header) => {
        const box = make("input", { type: "checkbox" });
        box.checked = true;
        box.addEventListener("change", () => {
          const place = header.dataset.metric;
          const cells = table.querySelectorAll(`[data-metric="${place}"], [data-of="${place}"]`);
          for (const cell of cells) cell.hidden = !box.checked;
        });
        return make("label", {}, box, ` ${header.textContent}`);
      });
      tools.append(make("details", {}, make("summary", {}, "Metrics"), ...choices));
    }
    table.parentElement.before(tools);
  };
  for (const table of document.querySelectorAll("table.conditions")) enable(table);
})();
