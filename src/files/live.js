// Reloads the page when one of its files changes. The server only tells that something has changed; entity tags tell what.
(() => {
  const tags = new Map();
  const links = () => [...document.querySelectorAll('link[rel~="stylesheet"][href]')];

  const tagOf = async (url) => {
    const reply = await fetch(url, { method: "HEAD", cache: "no-store" });
    return `${reply.status} ${reply.headers.get("etag")}`;
  };

  // Returns the files of the page that have changed since the last call.
  const changed = async () => {
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const urls = [location.href, ...links().map((link) => link.href), ...loaded]
      .map((url) => url.split("#")[0])
      .filter((url) => url.startsWith(location.origin + "/") && !url.includes("/.httpoll/"));
    const found = await Promise.all(
      [...new Set(urls)].map(async (url) => {
        const before = tags.get(url);
        const now = await tagOf(url);
        tags.set(url, now);
        return before !== undefined && before !== now ? url : null;
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

  let timer = 0;
  let since = 0;
  // A tool that builds a site changes many files in a row. It is waited for, but not for ever.
  const soon = () => {
    since ||= Date.now();
    clearTimeout(timer);
    timer = setTimeout(() => {
      since = 0;
      update().catch(soon);
    }, Math.min(100, since + 1000 - Date.now()));
  };

  const events = new EventSource("/.httpoll/live");
  events.onopen = soon;
  events.onmessage = soon;
  addEventListener("pagehide", () => events.close());
  // A page from the back/forward cache may be out of date.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  addEventListener("load", soon);
})();
