package subject
import ("testing";"time";"runtime";"fmt")
func TestZZ(t *testing.T){
 ks := append(kinds[:len(kinds):len(kinds)], struct{name string; patterns func(int) []string}{"middle", func(i int) []string { return []string{fmt.Sprintf("orders.*.x%d", i)} }})
 for _, kind := range ks { for _, subs := range []int{1000,100000,1000000} {
  x := NewIndex[*receiver]()
  b0:=heap()
  pub := fill(t,x,subs,kind.patterns)
  if kind.name=="middle" { for i := range pub { pub[i]=fmt.Appendf(nil,"orders.a.x%d", i*97%subs)} }
  by:=float64(heap()-b0)/float64(subs)
  runtime.GC()
  var r Result[*receiver]
  best:=time.Hour
  for range 60 { s:=time.Now(); for i:=range 4096 { x.Match(pub[i],&r); if len(r.Plain)!=1 {t.Fatal()} }; if d:=time.Since(s); d<best {best=d} }
  bi:=time.Hour
  v,p := &receiver{}, kind.patterns(subs + 1)[0]
  for range 30 { s:=time.Now(); for range 100 { x.Insert(p,"",1,v); x.Remove(p,"",v) }; if d:=time.Since(s); d<bi {bi=d} }
  fmt.Println(kind.name, subs, "min ns/op", float64(best.Nanoseconds())/4096, "insert+remove", bi.Nanoseconds()/100, "bytes/sub incl subject+value", by)
 }}
}
