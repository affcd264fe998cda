"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // Glossary in place: the entry a term links to, shown beside it on hover and focus.
  const tip = document.getElementById("tip");
  let shown = null;
  const hide = () => {
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    tip.hidden = true;
  };
  const show = (link) => {
    const entry = document.getElementById(link.hash.slice(1));
    if (!entry) return;
    hide();
    tip.replaceChildren(...entry.querySelector("dd").cloneNode(true).childNodes);
    tip.hidden = false;
    shown = link;
    link.setAttribute("aria-describedby", "tip");
    const at = link.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const left = Math.max(12, Math.min(at.left, root.clientWidth - box.width - 12));
    const below = at.bottom + 8 + box.height < root.clientHeight;
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${(below ? at.bottom + 8 : at.top - box.height - 8) + window.scrollY}px`;
  };
  for (const link of document.querySelectorAll("a.term")) {
    link.addEventListener("mouseenter", () => show(link));
    link.addEventListener("mouseleave", hide);
    link.addEventListener("focus", () => show(link));
    link.addEventListener("blur", hide);
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });

  // Charts: the values at the pointer, or at the place the arrow keys have reached.
  const draw = (parent, name, attributes) => {
    const element = document.createElementNS(parent.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
  };
  for (const chart of document.querySelectorAll("svg[data-chart]")) {
    const data = JSON.parse(chart.dataset.chart);
    const places = [...new Set(data.series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
    const cursor = chart.querySelector(".cursor");
    const readout = chart.closest("figure").querySelector(".readout");
    let at = -1;
    const point = (index) => {
      at = Math.max(0, Math.min(places.length - 1, index));
      cursor.replaceChildren();
      const x = places[at];
      draw(cursor, "line", { class: "hair", x1: x, x2: x, y1: 8, y2: chart.viewBox.baseVal.height - 36 });
      const parts = [];
      let where = "";
      for (const series of data.series) {
        for (const p of series.points.filter((q) => q[0] === x)) {
          draw(cursor, "circle", { class: `dot ${series.tone}`, cx: p[0], cy: p[1], r: 4.5 });
          where = p[2];
          parts.push(`${series.name} ${p[3]}`);
        }
      }
      readout.textContent = `${data.x.split(",")[0]} ${where}: ${parts.join(", ")}`;
    };
    const clear = () => {
      at = -1;
      cursor.replaceChildren();
      readout.textContent = "";
    };
    const follow = (event) => {
      const box = chart.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
      let best = 0;
      places.forEach((p, i) => {
        if (Math.abs(p - x) < Math.abs(places[best] - x)) best = i;
      });
      point(best);
    };
    chart.addEventListener("pointermove", follow);
    chart.addEventListener("pointerdown", follow);
    chart.addEventListener("pointerleave", clear);
    chart.addEventListener("blur", clear);
    chart.addEventListener("keydown", (event) => {
      const last = places.length - 1;
      const start = at < 0 ? last : at;
      const to = { ArrowLeft: at < 0 ? last : start - 1, ArrowRight: at < 0 ? 0 : start + 1, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      point(to);
    });
  }

  // Answers: a selection first, one category or all on request.
  const cards = document.getElementById("cards");
  const more = document.getElementById("more");
  if (cards) {
    let all = false;
    const chosen = () => document.querySelector("input[name=category]:checked")?.value ?? "";
    const apply = () => {
      const category = chosen();
      for (const card of cards.children) {
        card.hidden = category === "" ? !all && card.classList.contains("more") : card.dataset.category !== category;
      }
      if (more) more.hidden = all || category !== "";
    };
    for (const input of document.querySelectorAll("input[name=category]")) input.addEventListener("change", apply);
    if (more) {
      more.addEventListener("click", () => {
        all = true;
        const first = cards.querySelector(".more");
        apply();
        first.tabIndex = -1;
        first.focus({ preventScroll: true });
      });
    }
    apply();
    // Paper shows everything.
    window.addEventListener("beforeprint", () => {
      for (const card of cards.children) card.hidden = false;
    });
    window.addEventListener("afterprint", apply);
  }
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not(.numbers)")) part.open = true;
  });

  // Contents: mark the section that is being read.
  const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-20% 0px -70% 0px" },
  );
  for (const section of document.querySelectorAll("section[id]")) watcher.observe(section);
})();
