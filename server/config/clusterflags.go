package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// RoutesFromStr reads URLs that are separated by commas; those that are none are left
// out.
func RoutesFromStr(text string) []*url.URL {
	var urls []*url.URL
	for part := range strings.SplitSeq(text, ",") {
		if u, err := url.Parse(strings.TrimSpace(part)); err == nil {
			urls = append(urls, u)
		}
	}
	return urls
}

// configureCluster lays --cluster and --routes over o.
func (c *commandLine) configureCluster(o *Options) error {
	listen, routes := c.value("cluster"), c.value("routes")
	if listen.set {
		if err := clusterListenFlag(o, listen.text); err != nil {
			return err
		}
	}
	if !routes.set {
		return nil
	}
	if routes.text == "" {
		o.Routes = nil
		return nil
	}
	if !listen.set && o.Cluster.Host == "" && o.Cluster.Port == 0 {
		return errors.New("solicited routes require cluster capabilities, e.g. --cluster")
	}
	for part := range strings.SplitSeq(routes.text, ",") {
		if u, err := url.Parse(strings.TrimSpace(part)); err != nil || u.Host == "" {
			return fmt.Errorf("route %q is not a url, want for example nats://host:port", strings.TrimSpace(part))
		}
	}
	o.Routes = RoutesFromStr(routes.text)
	return nil
}

// clusterListenFlag reads nats://[user:pass@]host:port; no text turns clustering off.
func clusterListenFlag(o *Options, text string) error {
	c := &o.Cluster
	if text == "" {
		c.Host, c.Port = "", 0
		return nil
	}
	random := strings.HasSuffix(text, ":-1")
	if random { // a URL cannot say so
		text = strings.TrimSuffix(text, "-1") + "0"
	}
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	c.Username, c.Password = "", ""
	if u.User != nil {
		password, ok := u.User.Password()
		if !ok {
			return errors.New("expected cluster password to be set")
		}
		c.Username, c.Password = u.User.Username(), password
	}
	if u.Port() == "" {
		return fmt.Errorf("address %s: missing port in address", u.Host)
	}
	if c.Port, err = strconv.Atoi(u.Port()); err != nil {
		return err
	}
	if c.Host = u.Hostname(); random {
		c.Port = RandomPort
	}
	return nil
}

// urlFlags take URLs that may hold a user and a password.
var urlFlags = []string{"routes", "cluster", "cluster_listen"}

// redactURLs hides the users of a list of URLs.
func redactURLs(text string) string {
	parts := strings.Split(text, ",")
	for i, part := range parts {
		scheme, rest, found := strings.Cut(part, "://")
		if !found {
			scheme, rest = "", part
		}
		at := strings.LastIndexByte(rest, '@')
		if at < 0 {
			continue
		}
		if parts[i] = hidden + rest[at:]; found {
			parts[i] = scheme + "://" + parts[i]
		}
	}
	return strings.Join(parts, ",")
}
