package config

// What may change of JetStream while the server runs. A server whose JetStream is off
// has nothing to lose: it may get any maxima and directory.

func memoryMax(o *Options) int64 { return o.JetStreamMaxMemory }
func storeMax(o *Options) int64  { return o.JetStreamMaxStore }

// sameMax leaves a maximum out of the comparison while JetStream is off, or once it
// goes off without one.
func sameMax(limit func(*Options) int64) func(old, next *Options) bool {
	return func(old, next *Options) bool {
		was, is := limit(old), limit(next)
		return was == is || !old.JetStream || !next.JetStream && is == DynamicMax
	}
}

// maxRefusal lets a stated maximum grow: what was reserved must still fit, and a share
// of what the machine has is measured only at start.
func maxRefusal(limit func(*Options) int64) func(old, next *Options) string {
	return func(old, next *Options) string {
		was, is := limit(old), limit(next)
		switch {
		case was < 0:
			return "jetstream dynamic max memory and store"
		case is == DynamicMax:
			return "jetstream max memory and max store"
		case is < was:
			return "decreasing jetstream max memory and store"
		}
		return ""
	}
}

func maxLine(key string, limit func(*Options) int64) func(*Options) string {
	return func(o *Options) string { return "Reloaded: JetStream " + key + " = " + FormatBytes(limit(o)) }
}

// storeDirRefusal keeps the directory in which streams are.
func storeDirRefusal(old, next *Options) string {
	switch {
	case !old.JetStream || old.StoreDir == "":
		return ""
	case next.StoreDir != "":
		return "jetstream storage directory"
	case next.JetStream:
		return "jetstream storage dir"
	}
	return ""
}

// sameFlush compares what is asked of the disk and not how: that nothing is
// acknowledged before it is flushed is the default, and may be stated.
func sameFlush(old, next *Options) bool {
	return old.SyncAlways == next.SyncAlways || old.FlushBeforeAck() == next.FlushBeforeAck()
}

func sameInterval(old, next *Options) bool {
	return old.SyncInterval == next.SyncInterval || old.FlushBeforeAck() && next.FlushBeforeAck()
}
