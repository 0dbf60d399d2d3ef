package sim

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/nats-io/nkeys"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/wire"
)

// How clients come in: most by name and password, others by a key, a token, nothing at
// all, or what their certificate says.
const (
	nkeyUser  = "a-key"
	anyUser   = "b-any" // no_auth_user
	tokenUser = "token"
)

// TLSMode says what a server's listener asks of its clients.
type TLSMode string

// TLS modes; "" is none.
const (
	TLSOptional TLSMode = "optional" // and clear text is taken, too
	TLSRequired TLSMode = "required"
	TLSFirst    TLSMode = "handshake first"
	TLSMap      TLSMode = "verify and map" // the certificate tells who it is
)

var tlsModes = []TLSMode{TLSOptional, TLSRequired, TLSFirst, TLSMap, TLSMap}

// drawNkey derives the key of nkeyUser from the seed.
func drawNkey(rnd *rand.Rand) nkeys.KeyPair {
	var raw [32]byte
	for i := range raw {
		raw[i] = byte(rnd.Uint32())
	}
	seed, err := nkeys.EncodeSeed(nkeys.PrefixByteUser, raw[:])
	if err != nil {
		panic("sim: seed of a key: " + err.Error())
	}
	key, err := nkeys.FromSeed(seed)
	if err != nil {
		panic("sim: key: " + err.Error())
	}
	return key
}

// publicNkey is the name of nkeyUser in the configuration.
func (p *Plan) publicNkey() string {
	if p.nkey == nil {
		return ""
	}
	name, err := p.nkey.PublicKey()
	if err != nil {
		panic("sim: public key: " + err.Error())
	}
	return name
}

// userText is how the configuration lets a user in.
func (p *Plan) userText(name string) string {
	switch {
	case name == nkeyUser && p.nkey != nil:
		return fmt.Sprintf("nkey: %q", p.publicNkey())
	case p.TLS == TLSMap && name != garbageUser:
		return fmt.Sprintf("user: %q", name)
	}
	return fmt.Sprintf("user: %q, password: %q", name, password(name))
}

// applyTLS gives the server's options the listener that certificates would make.
func (p *Plan) applyTLS(o *server.Options) {
	if p.TLS == "" {
		return
	}
	o.TLSConfig = &tls.Config{}
	o.TLSTimeout = 2
	switch p.TLS {
	case TLSOptional:
		o.AllowNonTLS = true
	case TLSFirst:
		o.TLSHandshakeFirst = true
	case TLSMap:
		o.TLSConfig.ClientAuth = tls.RequireAndVerifyClientCert
		o.TLSVerify, o.TLSMap = true, true
	}
}

// present fills in who the client is. A client whose certificate tells it says something
// else besides, which must not matter.
func (c *Client) present(opts *wire.Connect, nonce string) {
	p := &c.w.plan
	switch {
	case c.user == tokenUser:
		opts.Token = password(tokenUser)
	case c.user == nkeyUser && p.nkey != nil:
		sig, err := p.nkey.Sign([]byte(nonce))
		if err != nil {
			panic("sim: signature: " + err.Error())
		}
		opts.Nkey, opts.Sig = p.publicNkey(), base64.RawURLEncoding.EncodeToString(sig)
		c.w.used("nkey login")
		return
	case p.TLS == TLSMap:
		if users := c.w.rec.h.World.Users; c.rnd.IntN(2) == 0 {
			opts.Username = users[c.rnd.IntN(len(users)-1)].Name
		}
		c.w.used("certificate login")
		return
	case c.user == anyUser:
		c.w.used("no_auth_user login")
		return
	default:
		opts.Username, opts.Password = c.user, password(c.user)
		c.w.used("password login")
		return
	}
	c.w.used("token login")
}

// shownUser is what the server calls the client's user.
func (c *Client) shownUser() string {
	switch {
	case c.user == tokenUser:
		return "[REDACTED]"
	case c.user == nkeyUser && c.w.plan.nkey != nil:
		return c.w.plan.publicNkey()
	}
	return c.user
}

// startTLS states who the client is, in place of a certificate.
func (c *Client) startTLS(pending []byte) {
	rec := c.c
	c.secure = true
	var id *netsim.Identity
	if c.w.plan.TLS == TLSMap {
		id = &netsim.Identity{CommonName: "whoever", DNSNames: []string{c.user}}
	}
	c.conn.StartTLS(netsim.TLSOptions{Config: &tls.Config{InsecureSkipVerify: true}, Identity: id, Timeout: dialMax, Pending: pending}, func(err error) {
		if err == nil && c.c == rec && c.state == clientGreeting && c.nonce != nil {
			c.login(*c.nonce)
			c.send()
		}
	})
}

// sayProxy states where the client comes from, as a proxy before the server would; one
// in four comes without a proxy.
func (c *Client) sayProxy() {
	c.stated = ""
	if !c.w.plan.Proxy || c.rnd.IntN(4) == 0 {
		return
	}
	host, port := netip.AddrFrom4([4]byte{10, 1, byte(c.rnd.IntN(256)), byte(1 + c.rnd.IntN(254))}), 1024+c.rnd.IntN(60000)
	c.stated = fmt.Sprintf("%s:%d", host, port)
	if c.rnd.IntN(2) == 0 {
		c.conn.Write(fmt.Appendf(nil, "PROXY TCP4 %s 192.0.2.1 %d %d\r\n", host, port, serverPort))
	} else {
		a := host.As4()
		head := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
		head = append(head, a[:]...)
		head = append(head, 192, 0, 2, 1, byte(port>>8), byte(port), serverPort>>8, serverPort&0xff)
		c.conn.Write(head)
	}
	c.conn.Flush()
	c.w.used("PROXY header")
}
