"""The tables of OpenClaw 2026.9.6's databases."""

from __future__ import annotations

USER_VERSION = 23
# As `select sql from sqlite_master` shows them, without the columns that nobody here looks at.
SCHEMA = """
create table session_nodes (
  session_key text not null primary key, current_session_id text not null, entry_json text not null,
  entry_valid integer not null default 0, updated_at integer not null,
  status text check (status is null or status in ('running', 'done', 'failed', 'killed', 'timeout')),
  created_at integer, created_via text, project_id text, parent_session_key text, spawned_by text, label text,
  display_name text, pinned_at integer, archived_at integer, last_read_at integer, last_interaction_at integer,
  last_activity_at integer
);
create table session_windows (
  session_id text not null primary key, session_key text not null, previous_session_id text, reason text,
  created_at integer not null, updated_at integer not null, status text,
  foreign key (session_key) references session_nodes (session_key) on delete cascade
);
create table transcript_events (
  session_id text not null, seq integer not null, event_json text, created_at integer not null, event_zstd blob,
  event_utf8_bytes integer, navigation_json text, primary key (session_id, seq),
  foreign key (session_id) references session_windows (session_id) on delete cascade
);
create table auth_profile_store (store_key text not null primary key, store_json text not null);
create table trajectory_runtime_events (
  session_id text not null, seq integer not null, run_id text, event_json text not null, created_at integer not null,
  primary key (session_id, seq),
  foreign key (session_id) references session_windows (session_id) on delete cascade
);
create table session_participants (
  session_key text not null, identity_namespace text not null, actor_id text not null,
  contribution_count integer not null, primary key (session_key, identity_namespace, actor_id),
  foreign key (session_key) references session_nodes (session_key) on delete cascade
);
create table board_tabs (
  session_key text not null, tab_id text not null, title text not null, primary key (session_key, tab_id),
  foreign key (session_key) references session_nodes (session_key) on delete cascade
);
create table board_widgets (
  session_key text not null, name text not null, tab_id text not null, html text, primary key (session_key, name),
  foreign key (session_key, tab_id) references board_tabs (session_key, tab_id) on delete cascade
);
"""
# The database of the state directory, likewise.
STATE_SCHEMA = """
create table current_conversation_bindings (
  binding_key text primary key, binding_id text not null, target_session_key text not null, channel text not null,
  conversation_id text not null, record_json text not null
);
create table session_watch_cursors (watcher_session_key text not null, target_session_key text not null);
create table cron_jobs (
  store_key text not null, job_id text not null, enabled integer not null, job_json text not null, state_json text,
  primary key (store_key, job_id)
);
create table worktrees (
  id text not null primary key, path text not null, branch text not null, owner_kind text not null, owner_id text,
  provisioned_paths_json text, removed_at integer
);
create table delivery_queue_entries (queue_name text not null, id text not null, session_key text, entry_json text);
create table audit_events (sequence integer primary key, session_key text, session_id text);
"""
