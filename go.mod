module github.com/lockstepmq/lockstep

go 1.26
