package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/lockstepmq/lockstep/server"
)

// processName is what --signal looks for among the running processes.
const processName = "lockstep"

// commands are the signals behind the words of --signal.
var commands = map[string]syscall.Signal{
	"stop":   syscall.SIGKILL,
	"quit":   syscall.SIGINT,
	"term":   syscall.SIGTERM,
	"reopen": syscall.SIGUSR1,
	"ldm":    syscall.SIGUSR2,
	"reload": syscall.SIGHUP,
}

// signals starts to take the process's signals. It is called before the server
// starts: who has seen that the server is ready may signal it.
func signals() <-chan os.Signal {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP)
	return c
}

// obey carries out the signals that the process receives, as long as it lives.
func obey(s *server.Server, received <-chan os.Signal) {
	for sig := range received {
		s.Logger().Noticef("Trapped %q signal", sig)
		switch sig {
		case syscall.SIGINT:
			s.Shutdown()
			os.Exit(0)
		case syscall.SIGTERM:
			if s.LameDuckMode() {
				continue
			}
			s.Shutdown()
			os.Exit(0)
		case syscall.SIGUSR1:
			s.ReOpenLogFile()
		case syscall.SIGUSR2:
			go s.LameDuckShutdown()
		case syscall.SIGHUP:
			// A failure is in the log; the server goes on as it was.
			_ = s.Reload()
		}
	}
}

// sendSignal sends a command to the servers that target names.
func sendSignal(command, target string) error {
	pids, err := resolve(target)
	if err != nil {
		return err
	}
	var failed []string
	for _, pid := range pids {
		if err := syscall.Kill(pid, commands[command]); err != nil {
			failed = append(failed, fmt.Sprintf("signal %q %d: %v", command, pid, err))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s", strings.Join(failed, "\n"))
	}
	return nil
}

// resolve finds process ids: target is an id, the path of a pid file, the beginning
// of an id and "*", or nothing for the only server that runs.
func resolve(target string) ([]int, error) {
	if text, err := os.ReadFile(target); err == nil {
		target = strings.TrimSpace(string(text))
	}
	prefix, all := strings.CutSuffix(target, "*")
	if !all && target != "" {
		pid, err := strconv.Atoi(target)
		if err != nil {
			return nil, fmt.Errorf("invalid pid: %s", target)
		}
		return []int{pid}, nil
	}
	running, err := servers()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, pid := range running {
		if strings.HasPrefix(strconv.Itoa(pid), prefix) {
			pids = append(pids, pid)
		}
	}
	switch {
	case len(pids) == 0:
		return nil, fmt.Errorf("no %s processes running", processName)
	case len(pids) > 1 && !all:
		text := fmt.Sprintf("multiple %s processes running:", processName)
		for _, pid := range pids {
			text += fmt.Sprintf("\n%d", pid)
		}
		return nil, fmt.Errorf("%s", text)
	}
	return pids, nil
}

// servers lists the other processes of this name.
func servers() ([]int, error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("unable to resolve pid, try providing one")
	}
	var pids []int
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(text)) != processName {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	sort.Ints(pids)
	return pids, nil
}
