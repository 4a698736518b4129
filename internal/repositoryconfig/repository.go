// Package repositoryconfig reads the two ConfigMaps of repositories: the one with the
// configuration of new BackupRepositories and the one with the settings of maintenance
// Jobs. Formats and defaults are Velero's (velero-facts §8.2, §8.3).
//
// It is pure. The repository controllers read the ConfigMaps when they need them; the
// webhook calls the same functions when a ConfigMap is written.
package repositoryconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Keys that tune a repository.
const (
	keyCacheLimitMB    = "cacheLimitMB"
	keyFullMaintenance = "fullMaintenanceInterval"
)

// fullMaintenanceHours are the values of keyFullMaintenance (velero-facts §4.6).
var fullMaintenanceHours = map[string]int64{"": 0, "normalGC": 24, "fastGC": 12, "eagerGC": 6}

// Parse reads the JSON under the key of kopia repositories: numbers and texts become
// texts, as in Velero. It returns nil when there is none. What the values mean is
// looked at by Tune.
func Parse(data map[string]string) (map[string]string, error) {
	text, ok := data[velerov1.BackupRepositoryTypeKopia]
	if !ok {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewBufferString(text))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil {
		return nil, fmt.Errorf("data[%s]: %w", velerov1.BackupRepositoryTypeKopia, err)
	}
	config := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		switch v := values[key].(type) {
		case json.Number:
			config[key] = v.String()
		case string:
			config[key] = v
		case bool:
			config[key] = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("data[%s]: %s: Invalid value: %v: must be a number or a text", velerov1.BackupRepositoryTypeKopia, key, v)
		}
	}
	return config, nil
}

// Tuning is what the configuration of a repository asks for.
type Tuning struct {
	CacheLimitMB         int64 // 0 means the default
	FullMaintenanceHours int64 // between two full maintenances; 0 means the default
}

// Tune reads the configuration of a repository. field is its path, for the error,
// which names the key, its value and what is allowed.
func Tune(config map[string]string, field string) (Tuning, error) {
	var t Tuning
	if raw := config[keyCacheLimitMB]; raw != "" {
		v, err := strconv.ParseInt(raw, 10, 64)
		if err != nil || v < 0 {
			return t, fmt.Errorf("%s[%s]: Invalid value: %q: must be a number of megabytes", field, keyCacheLimitMB, raw)
		}
		t.CacheLimitMB = v
	}
	hours, ok := fullMaintenanceHours[config[keyFullMaintenance]]
	if !ok {
		return t, fmt.Errorf("%s[%s]: Unsupported value: %q: supported values: \"normalGC\", \"fastGC\", \"eagerGC\"",
			field, keyFullMaintenance, config[keyFullMaintenance])
	}
	t.FullMaintenanceHours = hours
	return t, nil
}

// Check returns what is wrong with the ConfigMap when it is written, and what in it
// has no effect.
func Check(data map[string]string) Problems {
	var p Problems
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if key != velerov1.BackupRepositoryTypeKopia {
			p.ignored(key, "unknown key, ignored; the known key is %s", velerov1.BackupRepositoryTypeKopia)
		}
	}
	config, err := Parse(data)
	if err == nil {
		_, err = Tune(config, "data["+velerov1.BackupRepositoryTypeKopia+"]")
	}
	if err != nil {
		p.Invalid = append(p.Invalid, err.Error())
	}
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if key != keyCacheLimitMB && key != keyFullMaintenance {
			p.ignored(velerov1.BackupRepositoryTypeKopia, "%s: unknown key, ignored; known keys are %s, %s", key, keyCacheLimitMB, keyFullMaintenance)
		}
	}
	return p
}
