package core

// Invariant is a name with what it demands.
type Invariant struct{ Name, About string }

// Invariants lists what is judged, in the order of the failure model.
func Invariants() []Invariant {
	return []Invariant{
		{NoMore, "nobody receives what it did not subscribe to, or twice per subscription; nothing before SUB or after UNSUB"},
		{PairOrder, "one publisher's messages reach one subscription in order"},
		{QueueOne, "one member of a queue group receives a message"},
		{Exact, "no-echo, auto-unsubscribe and no-responders are exact"},
		{LossTold, "messages are lost only with a connection or by the slow-consumer rule"},
		{Interest, "the server's view equals what is subscribed"},
		{Reach, "when all is healed everybody is served and every publish reaches every subscription"},
		{Isolation, "nothing crosses between accounts but by export and import"},
		{Perms, "every publish and subscription is judged by the permissions in force; deny wins"},
		{Reload, "a reload takes away what it forbids and the unchanged notice nothing"},
		{Health, "what the server reports equals what clients did and saw"},
		{Bound, "what is pending for a connection never passes max_pending"},
		{CrashFree, "no input and no fault panics or stops the server"},
		{Clean, "connections and subscriptions go with their clients"},
		{StorePrefix, "recovery yields what was durable, in order, once, and nothing else"},
		{StoreTorn, "past the known-durable point a bad record ends the log; before it, it is damage"},
		{StoreFence, "what a failed write or sync touched is never assumed durable"},
	}
}
