// Dragging a row of the ranking by its grip: with mouse, pen or finger; onto another answer for a tie.

const EDGE = 70; // pixels from the window's edge where it begins to scroll
const MOVES = 5; // pixels before a press becomes a drag

/**
 * Let the rows of ``list`` be dragged by their ``.grip``. ``where(letter, other, share)`` says what a drop at that
 * share of the other row's height means: "before", "after" or "onto". ``drop(letter, other, where)`` hears the end.
 */
export function draggable(list, where, drop) {
  let held = null;

  const rows = () => [...list.querySelectorAll(".rank")];

  function clear() {
    rows().forEach((row) => row.classList.remove("drop-before", "drop-after", "drop-onto"));
  }

  /** Which row the pointer is at, and what a drop there means. */
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
    const { letter } = best.row.dataset;
    return { letter, row: best.row, where: where(held.letter, letter, share) };
  }

  /** How far the page, or the panel that the list scrolls in, has been scrolled. */
  const scrolled = () => scrollY + held.panel.scrollTop;

  function follow() {
    if (!held) return;
    held.row.style.transform = `translateY(${held.y + scrolled() - held.from}px)`;
    const found = target(held.y);
    if (found?.row !== held.over?.row || found?.where !== held.over?.where) {
      clear();
      found?.row.classList.add(`drop-${found.where}`);
      held.over = found;
    }
    const panel = held.panel.getBoundingClientRect();
    const [top, bottom] = held.inPanel ? [panel.top, panel.bottom] : [0, innerHeight];
    const speed = held.y < top + EDGE ? held.y - top - EDGE : held.y > bottom - EDGE ? held.y - bottom + EDGE : 0;
    if (speed) (held.inPanel ? held.panel : window).scrollBy(0, speed / 4);
    held.frame = requestAnimationFrame(follow);
  }

  function end(event, cancelled = false) {
    if (!held) return;
    const { row, letter, moved, frame } = held;
    // Where the pointer is now: a quick hand lets go before the next frame has looked.
    const over = moved && !cancelled && target(event.clientY);
    cancelAnimationFrame(frame);
    held = null;
    row.classList.remove("dragging");
    row.style.transform = "";
    clear();
    if (over) drop(letter, over.letter, over.where);
  }

  list.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest(".grip");
    if (!grip || event.button !== 0 || held) return;
    const row = grip.closest(".rank");
    const panel = list.parentElement;
    held = { row, panel, letter: row.dataset.letter, y: event.clientY, moved: false, over: null };
    held.inPanel = panel.scrollHeight > panel.clientHeight + 1;
    held.from = held.y + scrolled();
    grip.setPointerCapture(event.pointerId);
  });
  list.addEventListener("pointermove", (event) => {
    if (!held) return;
    held.y = event.clientY;
    if (!held.moved && Math.abs(held.y + scrolled() - held.from) > MOVES) {
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
