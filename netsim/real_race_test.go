//go:build race

package netsim

const raceDetector = true
