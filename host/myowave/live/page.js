// What Bokeh cannot do for the monitor's page: keyboard shortcuts, the theme, texts, and
// measuring in the browser how old a sample is when it is painted.
"use strict";

// Whether a view is a plot of curves that is painted at every update; the time axis need not be.
const isPlot = (view) => view.model.type === "Figure" && view.model.name !== "time";
const isSeen = (view) => view.model.visible && !view.is_destroyed;

const myowave = {
  tab: null,
  shown: new Map(),
  choice: "auto",
  // Milliseconds from the measurement of a sample to the animation frame in which it was painted,
  // newest last; each entry is [when it was painted, latency].
  painted: [],
  used: 0,

  clock(seconds) {
    const sign = seconds < 0 ? "−" : "";
    // Ticks may be parts of a second; what is shown is exact, not rounded.
    const tenths = Math.round(Math.abs(seconds) * 10);
    const minutes = Math.floor(tenths / 600);
    const rest = (tenths % 600) / 10;
    return `${sign}${minutes}:${rest < 10 ? "0" : ""}${rest}`;
  },

  // ---- theme ----------------------------------------------------------------------------------

  choose(choice) {
    this.choice = choice;
    this.applyTheme();
  },

  applyTheme() {
    const system = matchMedia("(prefers-color-scheme: dark)").matches;
    const dark = this.choice === "dark" || (this.choice === "auto" && system);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    if (this.tab !== null) {
      this.tab.dark = dark;
    }
  },

  // ---- keyboard -------------------------------------------------------------------------------

  commands: {
    " ": "pause", ArrowLeft: "back", ArrowRight: "forward", Escape: "live", "+": "wider",
    "-": "narrower", l: "lock", c: "raw", r: "record", m: "mark",
    s: "restart",
  },
  fields: {b: "label", n: "note"},
  // A key that is held down scrolls and zooms on; it neither marks nor records again.
  repeated: new Set(["back", "forward", "wider", "narrower"]),

  onKey(event) {
    // The target as seen from inside the widgets: outside it is their host.
    const target = event.composedPath()[0];
    const writing = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
    if (writing) {
      if (event.key === "Escape") {
        target.blur();
      }
      return;
    }
    // A slider that has the focus takes the arrow keys itself.
    const slides = target instanceof HTMLElement && target.getAttribute("role") === "slider";
    if (event.ctrlKey || event.metaKey || event.altKey || slides) {
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in this.commands) {
      if (!event.repeat || this.repeated.has(this.commands[key])) {
        this.tab.command = `${this.commands[key]} ${++this.used}`;
      }
    } else if (key in this.fields) {
      const field = this.tab.document.get_model_by_name(this.fields[key]);
      Bokeh.index.find_one(field).input_el.focus();
    } else if (key === "t") {
      const group = this.tab.document.get_model_by_name("theme");
      group.active = (group.active + 1) % group.labels.length;
    } else {
      return;
    }
    // Space would also press the button that has the focus, or scroll.
    event.preventDefault();
  },

  // ---- latency --------------------------------------------------------------------------------

  // Curves that were sent and not painted yet: Unix times (s) between which their new samples were
  // measured, and the plots to be painted.
  pending: null,

  onUpdate() {
    const {newest_host_s, previous_host_s} = this.tab;
    if (!(newest_host_s > previous_host_s)) {
      return;
    }
    const plots = [...Bokeh.index.query(isPlot)].filter(isSeen);
    plots.forEach((view) => this.watch(view));
    // An update that comes before the last one was painted is painted with it.
    const since = this.pending === null ? previous_host_s : this.pending.since;
    this.pending = {since, until: newest_host_s, number: this.tab.number, plots: new Set(plots)};
  },

  watched: new WeakSet(),

  watch(view) {
    if (!this.watched.has(view)) {
      this.watched.add(view);
      // Bokeh paints in an animation frame, then emits this.
      view.repainted.connect(() => this.onPainted(view));
    }
  },

  // All samples that came with an update count: the middle one stands for them.
  onPainted(view) {
    if (this.pending === null) {
      return;
    }
    const {since, until, number, plots} = this.pending;
    plots.delete(view);
    // A plot that has been hidden or replaced meanwhile is not painted.
    if (![...plots].some(isSeen)) {
      const now = Date.now();
      this.painted.push([now, now - 500 * (since + until)]);
      this.pending = null;
      this.tab.painted = number;
    }
  },

  report() {
    const now = Date.now();
    const kept = this.painted.filter(([when]) => now - when < 10000);
    this.painted.splice(0, this.painted.length - kept.length);
    const latencies = kept.map(([, latency]) => latency).sort((a, b) => a - b);
    const recent = kept.filter(([when]) => now - when < 2000).length / 2;
    // Another computer's clock says nothing about when a sample was measured here.
    const sameClock = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
    const median = sameClock && latencies.length ? latencies[Math.floor(latencies.length / 2)] : 0;
    this.tab.setv({latency_ms: median, updates_hz: recent});
  },

  // ---- texts ----------------------------------------------------------------------------------

  showTexts() {
    for (const [id, html] of Object.entries(this.tab.texts)) {
      // Only what has changed: a model card that is open stays open.
      if (this.shown.get(id) !== html) {
        this.shown.set(id, html);
        document.getElementById(id).innerHTML = html;
      }
    }
    this.showBars();
  },

  showBars() {
    const [off, on] = this.tab.thresholds;
    const meters = document.querySelectorAll("#tiles .meter");
    this.tab.bars.forEach(([level, peak], index) => {
      const parts = meters[index]?.children ?? [];
      [level, off, on, peak].forEach((percent, part) => {
        parts[part]?.style.setProperty(part === 0 ? "width" : "left", `${percent}%`);
      });
    });
  },

  // Bokeh tells of a lost connection in a corner, and not what it means.
  showLost() {
    const banner = document.getElementById("banner");
    banner.innerHTML =
      '<p class="bad"><b>The monitor has ended, or cannot be reached.</b> What it received until ' +
      "then is shown. Load this page again once it runs.</p>";
    this.shown.delete("banner");
  },

  // ---- beginning ------------------------------------------------------------------------------

  attach(tab) {
    this.tab = tab;
    this.applyTheme();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.applyTheme());
    document.addEventListener("keydown", (event) => this.onKey(event), {capture: true});
    tab.properties.texts.change.connect(() => this.showTexts());
    tab.properties.bars.change.connect(() => this.showBars());
    tab.properties.number.change.connect(() => this.onUpdate());
    this.showTexts();
    tab.document.on_event("connection_lost", () => this.showLost());
    tab.document.on_event("client_reconnected", () => this.showTexts());
    setInterval(() => this.report(), 1000);
  },
};
