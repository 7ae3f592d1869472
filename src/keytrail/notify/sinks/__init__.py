"""One sink a file; `keytrail.notify.registry` lists them."""
