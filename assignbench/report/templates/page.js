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
    const heads = all("thead th", table), bodies = Array.from(table.tBodies);
    const lines = (body) => Array.from(body.rows).filter((row) => !row.classList.contains("band"));
    if (!bodies.some((body) => lines(body).length > 1)) return;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        bodies.forEach((body) => body.append(...lines(body).sort(order(column, down ? -1 : 1))));
      });
    });
  });

  const hidden = new Set();
  all(".toggles").forEach((box) => box.classList.remove("hidden"));
  all(".toggles input").forEach((input) => input.addEventListener("change", () => {
    input.checked ? hidden.delete(input.value) : hidden.add(input.value);
    all("[data-m]").forEach((row) => row.classList.toggle("hidden", hidden.has(row.dataset.m)));
  }));

  // A shadow at the right edge says that there is more of a table.
  const cut = (box) => box.classList.toggle("cut", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  const sized = new ResizeObserver((entries) => entries.forEach((entry) => cut(entry.target)));
  all(".scroll").forEach((box) => {
    cut(box);
    sized.observe(box);
    box.addEventListener("scroll", () => cut(box), { passive: true });
  });

  const dialog = document.createElement("dialog");
  const large = document.createElement("img");
  dialog.append(large);
  document.body.append(dialog);
  // A first tap fills the window, a second one shows every pixel where that is more, a third one closes. Where the
  // window is no wider than the page, as on a phone, the first one shows every pixel.
  const more = () => !dialog.classList.contains("whole") && large.naturalWidth > 1.1 * large.clientWidth;
  const fill = () => large.classList.toggle("more", more());
  large.addEventListener("load", fill);
  dialog.addEventListener("close", () => dialog.classList.remove("whole"));
  dialog.addEventListener("click", (event) => {
    if (event.target !== large || !more()) return dialog.close();
    const x = event.offsetX / large.clientWidth, y = event.offsetY / large.clientHeight;
    dialog.classList.add("whole");
    fill();
    dialog.scrollTo(x * dialog.scrollWidth - dialog.clientWidth / 2, y * dialog.scrollHeight - dialog.clientHeight / 2);
  });
  all("figure .frame").forEach((frame) => {
    const button = document.createElement("button"), picture = frame.querySelector("img");
    button.type = "button";
    button.title = "Enlarge";
    frame.append(button);
    button.append(picture);
    button.addEventListener("click", () => {
      large.src = picture.src;
      large.alt = picture.alt;
      dialog.showModal();
      dialog.classList.toggle("whole", more() && large.clientWidth < 1.2 * picture.clientWidth);
      fill();
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
