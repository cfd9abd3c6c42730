"use strict";
// Sorts tables, hides methods, enlarges pictures and marks the place in the contents. It reads the page and nothing else.
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));

  const value = (cell) => {
    const text = cell ? cell.textContent.trim().replace("\u2212", "-") : "";
    const found = /^[+-]?\d+(\.\d+)?/.exec(text);
    return { text, number: found ? parseFloat(found[0]) : NaN, none: text === "" || text === "n/a" || text === "\u2013" };
  };
  const order = (column, way) => (one, other) => {
    const a = value(one.cells[column]), b = value(other.cells[column]);
    if (a.none || b.none) return a.none - b.none;
    const both = !Number.isNaN(a.number) && !Number.isNaN(b.number);
    return way * (both ? a.number - b.number : a.text.localeCompare(b.text));
  };
  all("table.data").forEach((table) => {
    const heads = all("thead th", table), body = table.tBodies[0];
    if (!body || body.rows.length < 2) return;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        body.append(...Array.from(body.rows).sort(order(column, down ? -1 : 1)));
      });
    });
  });

  const hidden = new Set();
  all(".toggles").forEach((box) => box.classList.remove("hidden"));
  all(".toggles input").forEach((input) => input.addEventListener("change", () => {
    input.checked ? hidden.delete(input.value) : hidden.add(input.value);
    all("[data-m]").forEach((row) => row.classList.toggle("hidden", hidden.has(row.dataset.m)));
  }));

  const dialog = document.createElement("dialog");
  const large = document.createElement("img");
  dialog.append(large);
  document.body.append(dialog);
  dialog.addEventListener("click", () => dialog.close());
  all("figure .frame").forEach((frame) => {
    const button = document.createElement("button"), picture = frame.querySelector("img");
    button.type = "button";
    button.className = "frame";
    button.title = "Enlarge";
    button.append(picture);
    frame.replaceWith(button);
    button.addEventListener("click", () => {
      large.src = picture.src;
      large.alt = picture.alt;
      dialog.showModal();
    });
  });

  const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    links.forEach((link) => link.removeAttribute("aria-current"));
    const link = links.get(entry.target.id);
    if (link) link.setAttribute("aria-current", "true");
  }), { rootMargin: "-10% 0px -75% 0px" });
  all("main [id]").forEach((part) => links.has(part.id) && seen.observe(part));
  all(".contents a").forEach((link) => link.addEventListener("click", () => {
    const open = document.getElementById("contents-open");
    if (open) open.checked = false;
  }));
})();
