// Dragging a row of the ranking by its grip: with mouse, pen or finger; onto another answer for a tie.

const EDGE = 70; // pixels from the window's edge where it begins to scroll
const MOVES = 5; // pixels before a press becomes a drag

/**
 * Let the rows of ``list`` be dragged by their ``.grip``. ``drop(letter, other, where)`` hears the end:
 * where is "before", "after" or "onto".
 */
export function draggable(list, drop) {
  let held = null;

  const rows = () => [...list.querySelectorAll(".rank")];

  function clear() {
    rows().forEach((row) => row.classList.remove("drop-before", "drop-after", "drop-onto"));
  }

  /** Which row the pointer is at, and in which third of it. */
  function target(y) {
    const others = rows().filter((row) => row !== held.row);
    let best = null;
    for (const row of others) {
      const box = row.getBoundingClientRect();
      const distance = y < box.top ? box.top - y : y > box.bottom ? y - box.bottom : 0;
      if (!best || distance < best.distance) best = { row, box, distance };
    }
    if (!best) return null;
    const share = (y - best.box.top) / best.box.height;
    const where = share < 0.3 ? "before" : share > 0.7 ? "after" : "onto";
    return { letter: best.row.dataset.letter, row: best.row, where };
  }

  function follow() {
    if (!held) return;
    const box = held.place;
    held.row.style.transform = `translateY(${held.y + scrollY - held.from}px)`;
    const found = target(held.y);
    if (found?.row !== held.over?.row || found?.where !== held.over?.where) {
      clear();
      found?.row.classList.add(`drop-${found.where}`);
      held.over = found;
    }
    const speed = held.y < EDGE ? held.y - EDGE : held.y > innerHeight - EDGE ? held.y - innerHeight + EDGE : 0;
    if (speed) scrollBy(0, speed / 4);
    held.frame = requestAnimationFrame(follow);
    return box;
  }

  function end(event, cancelled = false) {
    if (!held) return;
    const { row, letter, over, moved, frame } = held;
    cancelAnimationFrame(frame);
    held = null;
    row.classList.remove("dragging");
    row.style.transform = "";
    clear();
    if (moved) {
      // The press was a drag: the click that follows it means nothing.
      row.addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
      setTimeout(() => row.dispatchEvent(new Event("dragged")), 0);
    }
    if (moved && over && !cancelled) drop(letter, over.letter, over.where);
  }

  list.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest(".grip");
    if (!grip || event.button !== 0 || held) return;
    const row = grip.closest(".rank");
    held = { row, letter: row.dataset.letter, y: event.clientY, from: event.clientY + scrollY, moved: false, over: null };
    grip.setPointerCapture(event.pointerId);
  });
  list.addEventListener("pointermove", (event) => {
    if (!held) return;
    held.y = event.clientY;
    if (!held.moved && Math.abs(held.y + scrollY - held.from) > MOVES) {
      held.moved = true;
      held.row.classList.add("dragging");
      held.frame = requestAnimationFrame(follow);
    }
  });
  list.addEventListener("pointerup", (event) => end(event));
  list.addEventListener("pointercancel", (event) => end(event, true));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !held?.moved) return;
    event.stopPropagation();
    end(event, true);
  });
}
