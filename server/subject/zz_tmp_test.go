package subject
import ("testing";"time";"runtime";"fmt")
func TestZZ(t *testing.T){
 for _, kind := range kinds { for _, subs := range []int{1000,100000,1000000} {
  x := NewIndex[*receiver]()
  b0:=heap()
  pub := fill(t,x,subs,kind.patterns)
  by:=float64(heap()-b0)/float64(subs)
  runtime.GC()
  var r Result[*receiver]
  best:=time.Hour
  for range 60 { s:=time.Now(); for i:=range 4096 { x.Match(pub[i],&r) }; if d:=time.Since(s); d<best {best=d} }
  bestc:=time.Hour
  big := make([]byte, 64<<20)
  for range 8 { for i:=0;i<len(big);i+=64 { big[i]++ }; s:=time.Now(); for i:=range 4096 { x.Match(pub[i],&r) }; if d:=time.Since(s); d<bestc {bestc=d} }
  fmt.Println(kind.name, subs, "min ns/op", float64(best.Nanoseconds())/4096, "cold", float64(bestc.Nanoseconds())/4096, "bytes/sub incl subject+value", by)
 }}
}
