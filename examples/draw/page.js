// The page: what is drawn is a list of strokes; the server is asked about the newest drawing, one
// request at a time. show.js paints its replies.

const DRAWN = 224; // pixels of a drawing's side, as the server takes it
const PEN = 17;
const STEP = 6; // pixels that a key moves the pen
const REST = 150; // milliseconds after which a pen is taken to rest


const pause = time => new Promise(done => setTimeout(done, time));

// ---- The drawing ----

const pad = $('pad');
const sheet = document.createElement('canvas'); // the drawing as it is sent
sheet.width = sheet.height = DRAWN;
const sheetContext = sheet.getContext('2d', { willReadFrequently: true });
let strokes = []; // each a list of points [x, y], from 0 to DRAWN
let version = 0; // counts the changes of what there is to read
let changed = 0; // when the last one was
const pen = { x: DRAWN / 2, y: DRAWN / 2, down: false, shown: false };

function paintInk(context, scale, color) {
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, DRAWN, DRAWN);
  context.lineWidth = PEN;
  context.lineCap = context.lineJoin = 'round';
  context.strokeStyle = color;
  for (const stroke of strokes) {
    context.beginPath();
    const [x, y] = stroke[0];
    context.moveTo(x, y);
    context.lineTo(x + 0.01, y); // a line without a length would leave no dot
    for (const point of stroke.slice(1)) context.lineTo(...point);
    context.stroke();
  }
}

function paintPad() {
  const context = pad.getContext('2d');
  const style = getComputedStyle(pad);
  paintInk(context, pad.width / DRAWN, style.color);
  if (!pen.shown) return;
  context.beginPath();
  context.arc(pen.x, pen.y, PEN / 2 + 2, 0, 2 * Math.PI);
  context.lineWidth = 2;
  context.strokeStyle = style.getPropertyValue('--accent');
  context.fillStyle = context.strokeStyle;
  context.stroke();
  if (pen.down) context.fill();
}

function change() {
  version += 1;
  changed = performance.now();
  paintPad();
  ask();
}

function clear() {
  strokes = [];
  pen.down = false;
  change();
}

function undo() {
  strokes.pop();
  pen.down = false;
  change();
}

/** The bytes of the drawing, row by row: 255 where there is ink. */
function bytes() {
  paintInk(sheetContext, 1, '#fff');
  const { data } = sheetContext.getImageData(0, 0, DRAWN, DRAWN);
  return Uint8Array.from({ length: DRAWN * DRAWN }, (_, i) => data[4 * i + 3]);
}

// ---- Mouse, finger, pen ----

const drawing = new Map(); // the stroke of each pointer that is down

function place(event) {
  const frame = pad.getBoundingClientRect();
  const scale = DRAWN / frame.width;
  return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
}

pad.addEventListener('pointerdown', event => {
  if (event.button !== 0) return;
  event.preventDefault();
  pad.focus({ preventScroll: true, focusVisible: false });
  pen.shown = pen.down = false;
  const stroke = [place(event)];
  drawing.set(event.pointerId, stroke);
  strokes.push(stroke);
  change();
});
addEventListener('pointermove', event => {
  const stroke = drawing.get(event.pointerId);
  if (!stroke) return;
  const events = event.getCoalescedEvents?.() ?? [];
  for (const one of events.length ? events : [event]) stroke.push(place(one));
  change();
});
for (const end of ['pointerup', 'pointercancel']) {
  addEventListener(end, event => drawing.delete(event.pointerId));
}

// ---- Keyboard ----

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const held = new Set();

pad.addEventListener('keydown', event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in ARROWS) {
    held.add(event.key);
    movePen();
  } else if (event.key === ' ') {
    if (!event.repeat) turnPen();
  } else if (['c', 'C', 'Delete'].includes(event.key)) {
    clear();
  } else if (['z', 'Z', 'Backspace'].includes(event.key)) {
    undo();
  } else {
    return;
  }
  pen.shown = true;
  event.preventDefault();
  paintPad();
});
addEventListener('keyup', event => held.delete(event.key));
pad.addEventListener('blur', () => {
  held.clear();
  pen.shown = pen.down = false;
  paintPad();
});

function movePen() {
  const inside = x => Math.min(DRAWN, Math.max(0, x));
  for (const key of held) {
    pen.x = inside(pen.x + STEP * ARROWS[key][0]);
    pen.y = inside(pen.y + STEP * ARROWS[key][1]);
  }
  if (!pen.down) return;
  strokes.at(-1).push([pen.x, pen.y]);
  change();
}

function turnPen() {
  pen.down = !pen.down;
  if (!pen.down) return;
  strokes.push([[pen.x, pen.y]]);
  change();
}

$('clear').addEventListener('click', clear);
$('undo').addEventListener('click', undo);

// ---- Asking the server ----

const asked = { busy: false, read: 0, occluded: 0 }; // versions that are on the page

async function post(path) {
  const reply = await fetch(path, { method: 'POST', body: bytes() });
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  return reply.json();
}

/** Asks about the newest drawing, until there is no newer one; then, once the pen rests, what
    each pixel is worth. One request is on its way at a time. */
async function ask() {
  if (asked.busy) return;
  asked.busy = true;
  try {
    for (;;) {
      const now = version;
      if (asked.read !== now) {
        asked.read = now; // before the reply: training may ask for another meanwhile
        show(await post('/read'));
        await pause(15); // oftener than the screen changes is too often
      } else if (asked.occluded !== now) {
        if (performance.now() - changed < REST) {
          await pause(20);
          continue;
        }
        asked.occluded = now;
        showWorth(await post('/occlude'));
      } else {
        say();
        break;
      }
    }
  } catch (error) {
    $('said').textContent = `No answer: ${error.message}. Is the program still running?`;
    asked.read = asked.occluded = -1;
    clearTimeout(asked.again);
    asked.again = setTimeout(ask, 1000);
  } finally {
    asked.busy = false;
  }
}

/** Whether all of the page is about the newest drawing. */
const settled = () => !asked.busy && asked.read === version && asked.occluded === version;

// ---- The model and its training ----

let seen = -1; // step of the training that is on the page

async function follow() {
  try {
    const status = await (await fetch('/status')).json();
    const { training } = status;
    const parameters = status.parameters.toLocaleString('en');
    const source = status.trained_on && `; trained on ${status.trained_on}`;
    $('model').textContent = `${status.model}, ${parameters} parameters, ${status.classes} classes${source}`;
    $('framing').textContent = status.framing;
    $('room').textContent = status.room;
    $('centre').textContent = status.framing === 'MNIST' ? 'its centre of mass' : 'the centre of the box';
    $('training').hidden = !training;
    document.querySelector('main').classList.toggle('learning', Boolean(training && !training.done));
    if (!training) return;
    if (training.step !== seen) {
      seen = training.step;
      $('curve').src = `/curve.svg?${seen}`;
      asked.read = -1; // read again, by weights that have learned more
      if (training.done) asked.occluded = -1;
      ask();
    }
    const read = training.accuracy === null ? '' : ` It reads ${percent(training.accuracy)} of the test glyphs.`;
    $('progress').textContent = training.done
      ? `Done after ${training.steps} steps.${read}`
      : `Step ${training.step} of ${training.steps}, about ${training.seconds_left} s to go.${read} `
        + 'You can draw already, and watch it become sure.';
    if (training.done) return;
  } catch { /* the program has ended, or is about to answer again */ }
  setTimeout(follow, 700);
}

mixColors();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  mixColors();
  paintPad();
  showSteps(last);
  showMaps(last);
  showWorth(lastWorth);
});
paintPad();
show(null);
showWorth(null);
follow();
