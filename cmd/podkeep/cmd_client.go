package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Keys of the client configuration. It is Velero's, so that people who set
// something there find it here.
const (
	configNamespace = "namespace"
	configFeatures  = "features"
	configCACert    = "cacert"
	configColorized = "colorized"
)

var configKeys = []string{configNamespace, configFeatures, configCACert, configColorized}

// clientConfig is the client configuration: a JSON object with texts.
type clientConfig struct{ file string }

// load reads the configuration; it is empty when there is no file.
func (c clientConfig) load() (map[string]any, error) {
	data, err := os.ReadFile(c.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return map[string]any{}, nil
	case err != nil:
		return nil, fmt.Errorf("reading client configuration: %w", err)
	}
	values := map[string]any{}
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("decoding %s: %w; mend or remove the file", c.file, err)
	}
	if values == nil { // the file holds null
		values = map[string]any{}
	}
	return values, nil
}

// save replaces the file at once, so that no reader sees half of it.
func (c clientConfig) save(values map[string]any) error {
	data, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("encoding client configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(c.file), 0o700); err != nil {
		return fmt.Errorf("writing client configuration: %w", err)
	}
	if err := writeFile(c.file, strings.NewReader(string(data)+"\n")); err != nil {
		return fmt.Errorf("writing client configuration: %w", err)
	}
	return nil
}

func newClientCommand(s *session) *cobra.Command {
	keys := "Keys are " + strings.Join(configKeys, ", ") + ". The file is that of Velero's client, ~/.config/velero/config.json."
	get := &cobra.Command{
		Use: "get [KEY...]", Short: "Show the configuration of the client", Long: "Show the configuration of the client. " + keys,
		ValidArgsFunction: cobra.FixedCompletions(configKeys, cobra.ShellCompDirectiveNoFileComp),
		RunE:              func(cmd *cobra.Command, args []string) error { return s.printConfig(cmd, args) },
	}
	set := &cobra.Command{
		Use: "set KEY=VALUE...", Short: "Change the configuration of the client",
		Long:              "Change the configuration of the client. An empty value takes a key out. " + keys,
		Example:           "  podkeep client config set namespace=backups",
		ValidArgsFunction: completeConfig,
		RunE:              func(_ *cobra.Command, args []string) error { return s.setConfig(args) },
	}
	config := group(&cobra.Command{Use: "config", Short: "Look at and change the configuration of the client"}, get, set)
	return group(&cobra.Command{Use: "client", Short: "Configure the client"}, config)
}

func completeConfig(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var pairs []string
	for _, key := range configKeys {
		pairs = append(pairs, key+"=")
	}
	return pairs, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (s *session) printConfig(cmd *cobra.Command, keys []string) error {
	values, err := s.config.load()
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		keys = slices.Sorted(maps.Keys(values))
	}
	for _, key := range keys {
		value, ok := values[key]
		if !ok {
			value = "<NOT SET>"
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", key, value); err != nil {
			return err
		}
	}
	return nil
}

// setConfig changes all or nothing.
func (s *session) setConfig(pairs []string) error {
	if len(pairs) == 0 {
		return fmt.Errorf("name what to set as KEY=VALUE; keys are %s", strings.Join(configKeys, ", "))
	}
	values, err := s.config.load()
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q must be KEY=VALUE", pair)
		}
		if !slices.Contains(configKeys, key) {
			return fmt.Errorf("%q is no key of the client configuration; keys are %s", key, strings.Join(configKeys, ", "))
		}
		if value == "" {
			delete(values, key)
			continue
		}
		values[key] = value
	}
	return s.config.save(values)
}
