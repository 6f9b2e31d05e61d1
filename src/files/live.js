// Reloads the page when one of its files changes. The server only tells that something has changed; entity tags tell what.
(() => {
  const tags = new Map();
  // A page that the server makes itself brings its tag along.
  const own = document.currentScript.dataset.tag;
  const links = () => [...document.querySelectorAll('link[rel~="stylesheet"][href]')];

  // Returns what changes with a file: its status and its tag.
  const tagOf = async (url) => {
    const reply = await fetch(url, { method: "HEAD", cache: "no-store" });
    return `${reply.status} ${reply.headers.get("etag")}`;
  };

  // Returns status and tag of the copy that the page was made from: the file may have changed before the events began.
  const loadedTagOf = async (url, status, now) => {
    if (own && url === location.href.split("#")[0]) return `${status} ${own}`;
    if (status && !now.startsWith(status)) return `${status}`;
    if (!/^200 (W\/)?"/.test(now)) return now;
    const reply = await fetch(url, { cache: "only-if-cached", mode: "same-origin" });
    return `${reply.status} ${reply.headers.get("etag")}`;
  };

  // Returns the files of the page that have changed since it was loaded, or since the last call.
  const changed = async () => {
    const entries = ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type));
    const statuses = new Map(entries.map((entry) => [entry.name.split("#")[0], entry.responseStatus]));
    links().forEach((link) => statuses.has(link.href) || statuses.set(link.href, 0));
    const ours = [...statuses].filter(([url]) => url.startsWith(location.origin + "/") && !url.includes("/.httpoll/"));
    const found = await Promise.all(
      ours.map(async ([url, status]) => {
        const now = await tagOf(url);
        const before = tags.get(url) ?? (await loadedTagOf(url, status, now).catch(() => now));
        tags.set(url, now);
        return before === now ? null : url;
      }),
    );
    return found.filter((url) => url !== null);
  };

  const swap = (old) => {
    const fresh = old.cloneNode();
    fresh.onload = fresh.onerror = () => old.remove();
    old.after(fresh);
  };

  const update = async () => {
    const urls = new Set(await changed());
    const sheets = links().filter((link) => urls.delete(link.href));
    if (urls.size > 0) {
      location.reload();
    } else {
      sheets.forEach(swap);
    }
  };

  // A tool that builds a site changes many files in a row, so the page looks a little later. It looks twice: the server watches a
  // file that it has to fetch from the disk only from the second request on.
  let timer = 0;
  let since = 0;
  const soon = (again = true) => {
    since ||= Date.now();
    clearTimeout(timer);
    // A page that always changes looks once a second.
    const look = () => {
      since = 0;
      update().then(() => again && later(), () => soon());
    };
    timer = setTimeout(look, Math.min(100, since + 1000 - Date.now()));
  };
  const later = () => (timer = setTimeout(() => soon(false), 500));

  const events = new EventSource("/.httpoll/live");
  events.onopen = () => soon();
  events.onmessage = () => soon();
  addEventListener("pagehide", () => events.close());
  // A page from the back/forward cache may be out of date.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  addEventListener("load", () => soon());
})();
